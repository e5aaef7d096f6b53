package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/chart"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/codec/plain"
	"hotreader/httpapi"
)

// plainFormats are the formats that package plain writes.
var plainFormats = map[string]plain.Format{"json": plain.JSON, "jsonl": plain.JSONL, "csv": plain.CSV}

// answer reads q and writes it in the format that was asked for.
func (k *asking) answer(ctx context.Context, q hotreader.Query) error {
	if err := q.Check(); err != nil {
		return err
	}
	if f, ok := plainFormats[k.format]; ok {
		// Reject what cannot be written before the read begins.
		if _, err := plain.NewEncoder(f, q.Properties); err != nil {
			return err
		}
	}
	k.app.warnOfReaders(k.source.tokenFile)
	reader, closer, err := k.source.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }() // it was read
	if k.source.remote == "" {            // else the other API warns
		reader = httpapi.Doubting(reader, closer.lister())
	}
	stats := &hotreader.Stats{}
	ctx = hotreader.WithStats(ctx, stats)
	began := time.Now()
	n, err := k.write(ctx, reader, q)
	if err != nil {
		return err
	}
	took := time.Since(began)
	if n == 0 {
		quiet := hotreader.WithStats(ctx, new(hotreader.Stats))
		more := cmp.Or(k.source.meantOf(quiet, q.Device), unlike(quiet, reader, q))
		if more == "" && len(stats.Warnings()) == 0 { // which say why
			more = elsewhere(quiet, reader, q)
		}
		said := "no rows: device %q has no value of %s%s%s"
		if slices.ContainsFunc(stats.Warnings(), func(w hotreader.Warning) bool { return w.Reason == hotreader.LookBackEnded && w.Property == "" }) {
			said = "no rows as far as was looked: device %q, %s%s%s"
		}
		k.app.note(said, terminal.Printable(q.Device), terminal.Printable(strings.Join(q.Properties, ", ")), within(q), more)
	}
	k.sum(n, stats, took)
	if k.cut {
		k.app.note("these are the first %s; --limit 0 prints all, --format chart draws all", terminal.Plural(n, "row", "rows"))
	}
	return nil
}

// write writes the answer, and returns how many rows it has, or pages.
func (k *asking) write(ctx context.Context, reader hotreader.Reader, q hotreader.Query) (n int, err error) {
	stats := hotreader.StatsOf(ctx)
	line := k.app.line
	defer line.Clear()
	if terminal.Is(k.app.stdout) && k.format != "chart" {
		line = &terminal.Progress{} // the rows themselves show how it goes
	}
	rows := func(yield func(hotreader.Row, error) bool) {
		for row, err := range reader.Read(ctx, q) {
			if k.most > 0 && n == k.most {
				k.cut = true
				break
			}
			if err == nil {
				if n++; n&1023 == 0 {
					line.Show("%s rows", terminal.Count(n))
				}
			}
			if !yield(row, err) {
				return
			}
		}
		line.Clear() // before what is drawn of the rows
		if err := stats.Nothing(); n == 0 && err != nil {
			yield(hotreader.Row{}, err)
		}
	}
	switch {
	case k.format == "twinmaker":
		return k.twinmaker(ctx, reader, q)
	case k.format == "chart":
		height := 10
		if len(q.Properties) > 3 {
			height = 6
		}
		c := chart.New(k.app.stdout, k.app.data, terminal.Width(k.app.stdout), height, q.Properties)
		if q.Pick, err = pickFor(ctx, c, reader, q); err == nil {
			err = k.chart(c, q, rows)
		}
	case k.format == "table" && q.Last:
		err = k.lastTable(q, rows)
	case k.format == "table":
		err = k.table(q, rows)
	default:
		err = k.plain(q, rows, stats)
	}
	return n, err
}

// sum says on stderr what the answer cost, and whatever a reader of the
// data alone would miss.
func (k *asking) sum(n int, stats *hotreader.Stats, took time.Duration) {
	a := k.app
	for _, w := range stats.Warnings() {
		a.note("warning: %s", terminal.Printable(w.String()))
	}
	if n > 0 && terminal.Is(a.stderr) {
		unit := terminal.Plural(n, "row", "rows")
		if k.format == "twinmaker" {
			unit = terminal.Plural(n, "page", "pages")
		}
		wire := ""
		if k.source.remote != "" {
			wire = ", " + terminal.Size(stats.Bytes.Load()) + " over the wire"
		}
		a.note("%s", a.talk.Dim(fmt.Sprintf("%s in %s%s", unit, terminal.Took(took), wire)))
	}
}

// within says what q's rows had to be besides the device's.
func within(q hotreader.Query) string {
	text := ""
	switch {
	case q.Last:
		text = " among the newest"
	case !q.Start.IsZero() || !q.End.IsZero():
		text = " in that range"
	}
	if len(q.Filters) > 0 {
		text += " that passes the filter"
	}
	return text
}

// elsewhere says of a query without rows where there are some, by a look at the
// device's newest.
func elsewhere(ctx context.Context, reader hotreader.Reader, q hotreader.Query) string {
	if !q.Last || len(q.Filters) > 0 {
		last := hotreader.Query{Device: q.Device, Properties: q.Properties, Last: true}
		for row, err := range reader.Read(ctx, last) {
			if err != nil {
				return "" // the answer is good without
			}
			if row.Time.IsZero() { // as from a foreign peer
				break
			}
			return "; its newest is of " + string(hotreader.AppendTime(nil, row.Time))
		}
	}
	return "; are the device's id and the property's name right?"
}

// unlike says of a filter why the newest value does not compare with it: numbers and
// texts do not.
func unlike(ctx context.Context, reader hotreader.Reader, q hotreader.Query) string {
	kinds := map[hotreader.Kind]string{hotreader.Number: "a number", hotreader.String: "a text", hotreader.Bool: "a boolean"}
	for _, f := range q.Filters {
		newest := hotreader.Query{Device: q.Device, Properties: []string{f.Property}, Last: true}
		for row, err := range reader.Read(ctx, newest) {
			if err != nil || f.Compares(row.Values[0]) {
				break // without an error, the values are why
			}
			number, write := bytes.Replace(f.Value.Text(), []byte(","), []byte("."), 1), ""
			if f.Value.Kind() == hotreader.String && hotreader.IsNumber(number) {
				write = fmt.Sprintf("; write %s", number)
			}
			return terminal.Printable(fmt.Sprintf("; the newest %s is %s, %s, and %s is %s%s", f.Property, row.Values[0], kinds[row.Values[0].Kind()], f.Value, kinds[f.Value.Kind()], write))
		}
	}
	return ""
}

func (k *asking) plain(q hotreader.Query, rows iter.Seq2[hotreader.Row, error], stats *hotreader.Stats) error {
	e, err := plain.NewEncoder(plainFormats[k.format], q.Properties)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(k.app.visible(), 1<<16)
	if _, err := e.Write(w, rows, stats); err != nil {
		_ = w.Flush() // the rows before the failure are right, and the failure is what counts
		return err
	}
	return w.Flush()
}

// table writes rows in columns.
func (k *asking) table(q hotreader.Query, rows iter.Seq2[hotreader.Row, error]) error {
	a := k.app
	head := append([]string{"TIME (UTC)"}, q.Properties...)
	t := terminal.NewTable(a.stdout, a.data, head...)
	cells := make([]terminal.Cell, len(head))
	var text []byte
	n := 0
	for row, err := range rows {
		if err != nil {
			_ = t.End()
			return err
		}
		n++
		text = appendPlainTime(text[:0], row.Time)
		cells[0] = terminal.Cell{Text: string(text), Look: a.data.Dim}
		for i, v := range row.Values {
			cells[i+1] = terminal.Cell{Text: show(v)}
			if v.Kind() == hotreader.Number {
				t.Right(i + 1)
			}
		}
		t.Row(cells...)
	}
	if n == 0 {
		return nil
	}
	return t.End()
}

// lastTable writes properties, each with its newest value.
func (k *asking) lastTable(q hotreader.Query, rows iter.Seq2[hotreader.Row, error]) error {
	a := k.app
	found := make([][]terminal.Cell, len(q.Properties))
	for i, p := range q.Properties {
		found[i] = []terminal.Cell{{Text: p}, {Text: "–", Look: a.data.Dim}}
	}
	n := 0
	for row, err := range rows {
		if err != nil {
			return err
		}
		n++
		for i, v := range row.Values {
			if !v.IsNull() {
				found[i] = append(found[i][:1], terminal.Cell{Text: show(v)},
					terminal.Cell{Text: string(appendPlainTime(nil, row.Time)), Look: a.data.Dim}, terminal.Cell{Text: ago(a.now().Sub(row.Time)), Look: a.data.Dim})
			}
		}
	}
	if n == 0 {
		return nil
	}
	t := terminal.NewTable(a.stdout, a.data, "PROPERTY", "VALUE", "TIME (UTC)", "AGE")
	for _, cells := range found {
		t.Row(cells...)
	}
	return t.End()
}

func (k *asking) chart(c *chart.Chart, q hotreader.Query, rows iter.Seq2[hotreader.Row, error]) error {
	for row, err := range rows {
		if err != nil {
			return err
		}
		c.Add(row)
	}
	if err := c.End(); err != nil {
		return err
	}
	for i, name := range q.Properties {
		if n := c.Beyond(i); n > 0 {
			k.app.note("%s: %s not drawn, beyond what a double holds", terminal.Printable(name), terminal.Plural(n, "number is", "numbers are"))
		}
	}
	return nil
}

// show writes a value for a person.
func show(v hotreader.Value) string {
	switch v.Kind() {
	case hotreader.Null:
		return "–"
	case hotreader.String:
		return terminal.Printable(string(v.Text()))
	}
	return v.String()
}

// appendPlainTime appends t in UTC with as many decimals as it has, three at
// least.
func appendPlainTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, "unknown"...)
	}
	at := len(dst)
	dst = hotreader.AppendTime(dst, t)
	dst[at+10] = ' '
	return dst[:len(dst)-1]
}

// ago writes an age roughly.
func ago(d time.Duration) string {
	switch {
	case d < -time.Minute:
		return "ahead of this clock"
	case d < 0:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%s days", terminal.Count(int(d.Hours()/24)))
}
