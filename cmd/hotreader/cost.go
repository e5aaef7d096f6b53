package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/internal/bounded"
	"hotreader/internal/cost"
)

// mostRows of a history are estimated page by page in well under a second.
const mostRows = 100_000_000

// costing are the arguments of cost.
type costing struct {
	prices, twin, hot string
	rows, properties  int
	points            int
	asJSON, list      bool

	cold            bool
	gb, files, days int
}

func (a *app) cost() *cobra.Command {
	k := costing{}
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Estimate what a million queries cost, on each route",
		Long: `Estimate what a million queries cost, on each of the nine routes, or on one of them
item by item, from measurements, list prices and assumptions. It sends no request.
--list shows each of these figures and where it is from; a file with figures of your
own, such as {"firestore_read_million": 0.6}, replaces them.

Each request is estimated as if it were alone; free tiers and discounts are left
out, and so are what is stored and written, and TwinMaker itself.

With --cold it says what the objects of cold storage and an archive cost, in each
storage class: to keep them a month, to read all of them once, to send all of their
bytes out of the cloud, and to restore them where that must be.`,
		Example: `  hotreader cost
  hotreader cost --twin aws --hot gcp
  hotreader cost --rows 86400 --properties 10
  hotreader cost --cold --gb 50 --objects 1000
  hotreader cost --list --json > prices.json; hotreader cost --prices prices.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			figures, err := figuresOf(k.prices)
			switch {
			case err != nil:
				return err
			case k.list:
				return a.printFigures(figures, k.asJSON)
			case k.cold:
				return a.printStored(figures, &k)
			}
			queries, err := k.queries(cmd)
			if err != nil {
				return err
			}
			routes, err := chosenRoutes(k.twin, k.hot)
			if err != nil {
				return err
			}
			return a.printCost(figures, routes, queries, k.asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.twin, "twin", "", "only twins on this `cloud`: aws, azure or gcp")
	f.StringVar(&k.hot, "hot", "", "only hot storage on this `cloud`")
	words(cmd, "twin", cloudWords...)
	words(cmd, "hot", cloudWords...)
	f.IntVar(&k.rows, "rows", 3600, "rows of the history, instead of 3,600 and 100,000")
	f.IntVar(&k.properties, "properties", 4, "properties of each row")
	f.IntVar(&k.points, "points", 0, "rows of the answer, picked of all where they lie (points of the API); 0 = all")
	f.BoolVar(&k.cold, "cold", false, "say what objects of cold storage and an archive cost instead")
	f.IntVar(&k.gb, "gb", 1000, "with --cold: GB of them")
	f.IntVar(&k.files, "objects", 10_000, "with --cold: how many they are")
	f.IntVar(&k.days, "days", cost.Days, "with --cold: how many `days` S3 keeps restored copies")
	f.StringVar(&k.prices, "prices", "", "a JSON `file` with figures of your own")
	f.BoolVar(&k.list, "list", false, "print the figures instead")
	f.BoolVar(&k.asJSON, "json", false, "print JSON")
	return cmd
}

// queries returns those that the flags say.
func (k *costing) queries(cmd *cobra.Command) ([]cost.Query, error) {
	switch {
	case !cmd.Flags().Changed("rows") && !cmd.Flags().Changed("properties") && k.points == 0:
		return cost.Mix(), nil
	case k.points < 0 || k.points > hotreader.MaxPoints:
		return nil, usagef("--points must be 1 to %d, or 0 for all rows", hotreader.MaxPoints)
	case k.rows < 1 || k.rows > mostRows || k.properties < 1 || k.properties > hotreader.MaxProperties:
		return nil, usagef("--rows must be 1 to %d, --properties 1 to %d", mostRows, hotreader.MaxProperties)
	}
	return []cost.Query{
		{Name: "latest values", Properties: k.properties, Last: true},
		{Name: terminal.Plural(k.rows, "row", "rows"), Rows: k.rows, Properties: k.properties, Points: k.points},
	}, nil
}

// figuresOf returns those that the program brings, and those of a file of the caller's.
func figuresOf(prices string) (cost.Figures, error) {
	figures := cost.Listed()
	if prices == "" {
		return figures, nil
	}
	file, err := bounded.ReadFile(prices, bounded.Text)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &hotreader.Error{Op: "--prices", Code: hotreader.CodeNotFound, Err: err}
	}
	if err != nil {
		return nil, usagef("--prices: %v", err)
	}
	if figures, err = figures.With(file); err != nil {
		return nil, usagef("--prices %s: %v", prices, err)
	}
	return figures, nil
}

func chosenRoutes(twin, hot string) ([]cost.Route, error) {
	for flag, cloud := range map[string]*string{"--twin": &twin, "--hot": &hot} {
		if *cloud == "" {
			continue
		}
		named, err := config.ParseCloud(*cloud)
		if err != nil {
			return nil, usagef("%s: %v", flag, err)
		}
		*cloud = string(named)
	}
	return slices.DeleteFunc(cost.Routes(), func(r cost.Route) bool {
		return twin != "" && r.Twin != twin || hot != "" && r.Hot != hot
	}), nil
}

// costJSON is a route of cost --json.
type costJSON struct {
	cost.Route
	Way   string      `json:"way"`
	Month float64     `json:"month_usd"`
	Bills []cost.Bill `json:"bills"`
}

// printCost prints a line for each route, or of one route each item.
func (a *app) printCost(figures cost.Figures, routes []cost.Route, queries []cost.Query, asJSON bool) error {
	all := make([]costJSON, len(routes))
	for i, r := range routes {
		all[i] = costJSON{Route: r, Way: r.Way(), Month: figures.Month(r)}
		for _, q := range queries {
			all[i].Bills = append(all[i].Bills, figures.Of(r, q))
		}
	}
	switch {
	case asJSON:
		return a.printIndented(struct {
			Prices string     `json:"prices_of"`
			Routes []costJSON `json:"routes"`
		}{cost.Date, all}, " ")
	case len(all) == 1:
		return a.printBills(all[0], queries)
	}
	t := a.costTable(queries, []string{"TWIN", "HOT STORAGE", "MODE"}, "A MONTH")
	for _, r := range all {
		texts := []string{r.Twin, r.Hot, r.Way}
		for _, b := range r.Bills {
			texts = append(texts, dollars(b.USD))
		}
		t.Texts(append(texts, dollars(r.Month))...)
	}
	if err := t.End(); err != nil {
		return err
	}
	a.note("US dollars for a million queries; a month is besides. List prices of %s.\nFor more, see hotreader cost --help.", cost.Date)
	return nil
}

// costTable returns a table that has a column of amounts for each query.
func (a *app) costTable(queries []cost.Query, head []string, more ...string) *terminal.Table {
	texts := len(head)
	for _, q := range queries {
		head = append(head, strings.ToUpper(q.Name))
	}
	head = append(head, more...)
	t := terminal.NewTable(a.stdout, a.data, head...)
	for i := texts; i < len(head); i++ {
		t.Right(i)
	}
	return t
}

// printBills prints the items of one route, with a column for each query.
func (a *app) printBills(r costJSON, queries []cost.Query) error {
	type key struct{ what, cloud, unit string }
	var keys []key
	usd := map[key][]string{}
	for i := len(r.Bills) - 1; i >= 0; i-- { // in the order of the largest query's
		for _, item := range r.Bills[i].Items {
			k := key{item.What, item.Cloud, item.Unit}
			if usd[k] == nil {
				keys = append(keys, k)
				usd[k] = slices.Repeat([]string{dollars(0)}, len(queries))
			}
			usd[k][i] = dollars(item.USD)
		}
	}
	t := a.costTable(queries, []string{"ITEM", "CLOUD", "UNIT"})
	for _, k := range keys {
		t.Texts(append([]string{k.what, k.cloud, k.unit}, usd[k]...)...)
	}
	total := []string{"total", "", "USD"}
	for _, b := range r.Bills {
		total = append(total, dollars(b.USD))
	}
	t.Texts(total...)
	if err := t.End(); err != nil {
		return err
	}
	month := "nothing"
	if r.Month > 0 {
		month = dollars(r.Month)
	}
	a.note("US dollars for a million queries of a twin on %s, hot storage on %s;\n%s a month besides; list prices of %s.", r.Twin, r.Hot, month, cost.Date)
	return nil
}

// printStored prints what objects cost in each storage class.
func (a *app) printStored(figures cost.Figures, k *costing) error {
	if k.gb < 1 || k.gb > 1e9 || k.files < 1 || k.files > 1e12 || k.days < 1 || k.days > maxDays {
		return usagef("--gb must be 1 to 1000000000, --objects 1 to 1000000000000, --days 1 to %d", maxDays)
	}
	all := figures.Stored(int64(k.files), int64(k.gb)*1e9, k.days)
	if k.asJSON {
		return a.printIndented(struct {
			Prices  string        `json:"prices_of"`
			Classes []cost.Stored `json:"classes"`
		}{cost.Date, all}, " ")
	}
	t := terminal.NewTable(a.stdout, a.data, "CLOUD", "CLASS", "A MONTH", "READ", "SENT OUT", "RESTORE BY", "USD", "WITHIN")
	t.Right(2, 3, 4, 6)
	for _, s := range all {
		texts := []string{s.Cloud, s.Name, dollars(s.Month), dollars(s.Read), dollars(s.Out)}
		if s.Restores == nil {
			t.Texts(append(texts, "", "", "")...)
		}
		for _, r := range s.Restores {
			t.Texts(append(texts, r.Tier, dollars(r.USD), r.Wait())...)
			texts = slices.Repeat([]string{""}, len(texts))
		}
	}
	if err := t.End(); err != nil {
		return err
	}
	a.note("US dollars for %s GB in %s, each read once; restored copies on S3 for %s. List prices of %s.",
		terminal.Count(k.gb), terminal.Plural(k.files, "object", "objects"), terminal.Plural(k.days, "day", "days"), cost.Date)
	return nil
}

// printFigures prints the figures: a table to read, or the file to change.
func (a *app) printFigures(figures cost.Figures, asJSON bool) error {
	if asJSON {
		return a.printIndented(figures, " ")
	}
	t := terminal.NewTable(a.stdout, a.data, "FIGURE", "VALUE", "UNIT", "FROM", "SOURCE")
	t.Right(1)
	for _, name := range figures.Names() {
		f := figures[name]
		t.Texts(name, strconv.FormatFloat(f.Value, 'f', -1, 64), f.Unit, f.From, f.Source)
	}
	return t.End()
}

// dollars writes an amount with three digits that matter; "–" for none.
func dollars(usd float64) string {
	switch {
	case usd == 0:
		return "–"
	case usd < 0.005:
		return "<0.01"
	case usd < 10:
		return fmt.Sprintf("%.2f", usd)
	case usd < 99.95:
		return fmt.Sprintf("%.1f", usd)
	}
	round := 1.0
	for usd/round >= 999.5 {
		round *= 10
	}
	return terminal.Count(int64(usd/round+0.5) * int64(round))
}
