package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// until says what ends a start.
func (p program) until() string {
	if p.port == "" {
		return "first poll"
	}
	return "GET /healthz"
}

// writeTables is for people.
func writeTables(w io.Writer, figures []figure, starts int) error {
	sizes := [][]string{{"PROGRAM", "PLATFORM", "SIZE", "LIMIT", "BARE", "RATIO"}}
	times := [][]string{{"PROGRAM", "READY AT", "MIN", "MEDIAN", "MAX", "GOAL", "BARE MIN", "MEDIAN", "MAX", "RATIO"}}
	for _, f := range figures {
		p := f.program
		if f.delivered {
			sizes = append(sizes, []string{p.name, f.platform, megabytes(f.size), megabytes(p.limit), megabytes(f.bare), f.sizeRatio()})
		}
		if f.started {
			goal := "–"
			if p.goal != 0 {
				goal = strconv.FormatFloat(p.goal, 'f', 1, 64)
			}
			a, b := f.starts, f.bareStarts
			times = append(times, []string{p.name, p.until(), milliseconds(a.least), milliseconds(a.median), milliseconds(a.most), goal,
				milliseconds(b.least), milliseconds(b.median), milliseconds(b.most), f.startRatio()})
		}
	}
	var b strings.Builder
	b.WriteString("Size in MB, built as `make dist` builds; bare: a net/http program built alike\n")
	align(&b, sizes)
	fmt.Fprintf(&b, "\nStart in ms from exec, %d of each program in turn with bare's, %d processors\n", starts, runtime.NumCPU())
	align(&b, times)
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// align writes rows in columns: the first two to the left, as they are words,
// the others to the right.
func align(b *strings.Builder, rows [][]string) {
	const words = 2
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			if i < words {
				fmt.Fprintf(b, "%-*s", widths[i], cell)
			} else {
				fmt.Fprintf(b, "%*s", widths[i], cell)
			}
		}
		b.WriteByte('\n')
	}
}

// writeLines is for programs: a head, then a line for each program and platform.
// What was not measured on this machine is empty.
func writeLines(w io.Writer, figures []figure, _ int) error {
	var b strings.Builder
	b.WriteString("program\tplatform\tbytes\tlimit_bytes\tbare_bytes\tsize_ratio\tready_at" +
		"\tmin_ms\tmedian_ms\tmax_ms\tbare_min_ms\tbare_median_ms\tbare_max_ms\tstart_ratio\n")
	for _, f := range figures {
		limit := ""
		if f.delivered {
			limit = strconv.FormatInt(f.program.limit, 10)
		}
		fmt.Fprintf(&b, "%s\t%s\t%d\t%s\t%d\t%s\t%s", f.program.name, f.platform, f.size, limit, f.bare, f.sizeRatio(), f.program.until())
		for _, s := range []spread{f.starts, f.bareStarts} {
			for _, d := range []time.Duration{s.least, s.median, s.most} {
				b.WriteByte('\t')
				if f.started {
					b.WriteString(milliseconds(d))
				}
			}
		}
		b.WriteByte('\t')
		if f.started {
			b.WriteString(f.startRatio())
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (f figure) sizeRatio() string { return ratio(float64(f.size), float64(f.bare)) }

// startRatio is that of the medians.
func (f figure) startRatio() string {
	return ratio(float64(f.starts.median), float64(f.bareStarts.median))
}

func ratio(a, b float64) string { return strconv.FormatFloat(a/b, 'f', 2, 64) }

func megabytes(n int64) string { return strconv.FormatFloat(float64(n)/mb, 'f', 2, 64) }

func milliseconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds()*1e3, 'f', 2, 64) }
