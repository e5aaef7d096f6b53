package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/codec/plain"
	"hotreader/config"
	"hotreader/function"
	"hotreader/identity"
	"hotreader/internal/bounded"
	"hotreader/remote"
	"hotreader/store/all"
)

// tokenVariable is the environment variable that holds the inter-cloud token.
const tokenVariable = "INTER_CLOUD_TOKEN"

const tokenText = `The token comes from the environment variable INTER_CLOUD_TOKEN or from the file
that --token-file names, never from the command line, which every user of the
machine can read.`

// tokenFrom reads the token from file, or if that is "" from the environment.
func tokenFrom(file string) (*identity.Token, error) {
	text := os.Getenv(tokenVariable)
	if file != "" {
		var err error
		if text, _, err = tokenIn(file); err != nil {
			return nil, err
		}
	} else if strings.TrimSpace(text) == "" {
		return nil, &hotreader.Error{Op: "token", Code: hotreader.CodeConfig,
			Err: errors.New("there is none; set " + tokenVariable + ", or name a file that holds it with --token-file")}
	}
	return identity.Static(text)
}

// tokenIn reads a file with a token, and when the token was put into it.
func tokenIn(file string) (text string, made time.Time, err error) {
	if info, err := os.Stat(file); err == nil {
		made = info.ModTime()
	}
	raw, err := bounded.ReadFile(file, 64<<10)
	if err != nil {
		return "", time.Time{}, &hotreader.Error{Op: "token", Code: hotreader.CodeConfig, Err: err}
	}
	return strings.TrimSpace(string(raw)), made, nil
}

// servedToken is tokenFrom for a server, which checks tokens: it reads a file again after it
// rejected one.
func servedToken(ctx context.Context, file string) (*identity.Token, error) {
	if file == "" {
		return tokenFrom("")
	}
	return identity.Fetched(ctx, fetchFile(file))
}

func fetchFile(file string) identity.Fetch {
	return func(context.Context) (string, time.Time, error) { return tokenIn(file) }
}

// identify returns the callers that the server accepts, and its token for a remote API.
func (s *serving) identify(ctx context.Context) (own function.Identity, err error) {
	f := &config.Function{PageKeySecret: os.Getenv("HOTREADER_PAGE_KEY_SECRET")}
	if f.Trust, err = config.FileTrust(os.Getenv("HOTREADER_TRUST")); err != nil {
		return own, err
	}
	if s.tokenFile != "" || len(f.Trust) == 0 || s.remote != "" && s.twin == nil || strings.TrimSpace(os.Getenv(tokenVariable)) != "" {
		if f.Token, err = servedToken(ctx, s.tokenFile); err != nil {
			return own, err
		}
	}
	own, err = function.Identify(ctx, f, function.Secrets{Secret: fetchFile})
	if err == nil && own.PageKeys() == nil {
		own.PageKey, err = identity.Static(config.NewToken().Reveal())
	}
	return own, err
}

// warnOfReaders says that others of this machine can read a file with a token.
func (a *app) warnOfReaders(file string) {
	if info, err := os.Stat(file); file != "" && err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		a.note("%s can be read by others on this machine; change that with: chmod 600 %s", file, file)
	}
}

// source is where a query goes: a store or a Hot Reader API.
type source struct {
	store, remote, tokenFile string
	tiers                    lowerTiers
}

// lowerTiers are flags: where the history lies that hot storage does not hold.
type lowerTiers struct {
	cold, archive config.Place
	hotDays       int
}

func (t *lowerTiers) flags(f *pflag.FlagSet) {
	f.StringVar(&t.cold.Store, "cold", "", "read this cold storage, too (a store `URL`)")
	f.StringVar(&t.archive.Store, "archive", "", "read this archive, too (a store `URL`)")
	f.IntVar(&t.hotDays, "hot-days", 0, "the store keeps this many `days`: without --cold and --archive, a query that begins before warns; 0 = unknown")
}

// check says what is wrong with the flags of a command.
func (t *lowerTiers) check(command, store string) error {
	switch {
	case store == "" && *t != lowerTiers{}:
		return usagef("%s: --cold, --archive and --hot-days go with --store; a Hot Reader API reads its tiers itself", command)
	case t.hotDays < 0:
		return usagef("%s: --hot-days %d does not fit; expected a whole number of days, or 0", command, t.hotDays)
	}
	return nil
}

// opened are stores that were opened for reading.
type opened struct {
	ctx    context.Context
	wrap   func(http.RoundTripper) http.RoundTripper // as all.OpenSeen has it
	stores []hotreader.Store
	far    hotreader.Lister // of another API; nil = none
}

// lister lists the devices of what was opened; nil = it cannot.
func (o *opened) lister() hotreader.Lister {
	if o.far != nil {
		return o.far
	}
	return function.Lister(o.stores...)
}

func (o *opened) open(url string) (hotreader.Source, error) {
	store, err := all.OpenSeen(o.ctx, url, o.wrap)
	if err != nil {
		return nil, err
	}
	o.stores = append(o.stores, store)
	return store, nil
}

// Close closes them all. They were only read.
func (o *opened) Close() (err error) {
	for _, s := range o.stores {
		err = errors.Join(err, s.Close())
	}
	return err
}

// function returns a function that reads these tiers.
func (t *lowerTiers) function(f config.Function) *config.Function {
	f.Cold, f.Archive, f.HotDays = t.cold, t.archive, t.hotDays
	return &f
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.store, "store", "", "read this store (a store `URL`)")
	s.tiers.flags(cmd.Flags())
	cmd.Flags().StringVar(&s.remote, "remote", "", "read this Hot Reader API (an https `URL`, or http to this machine)")
	cmd.Flags().StringVar(&s.tokenFile, "token-file", "", "`file` with the API's token, instead of "+tokenVariable)
}

func (s *source) check(cmd *cobra.Command) error {
	switch {
	case s.store == "" && s.remote == "":
		return usagef("%s: where from? Give --store URL or --remote URL", cmd.Name())
	case s.store != "" && s.remote != "":
		return usagef("%s: --store and --remote are both given; choose one", cmd.Name())
	case s.tokenFile != "" && s.remote == "":
		return usagef("%s: --token-file is for --remote only", cmd.Name())
	}
	return s.tiers.check(cmd.Name(), s.store)
}

// open returns the Reader, and the stores that it reads, which the caller closes.
func (s *source) open(ctx context.Context) (hotreader.Reader, *opened, error) {
	stores := &opened{ctx: ctx}
	if s.store == "" {
		r, err := s.far(stores)
		return r, stores, err
	}
	src, err := function.Parts{
		Local:   func() (hotreader.Source, error) { return stores.open(s.store) },
		Objects: stores.open,
	}.Source(s.tiers.function(config.Function{Settings: config.Settings{MaxRows: math.MaxInt}}))
	if err != nil {
		return nil, nil, errors.Join(err, stores.Close())
	}
	return hotreader.NewReader(src), stores, nil
}

// far returns the Reader of a Hot Reader API.
func (s *source) far(stores *opened) (hotreader.Reader, error) {
	list, token, err := s.peer()
	if err != nil {
		return nil, err
	}
	src, err := function.Parts{Identity: function.Identity{Token: token}}.Remote(remote.Options{URL: s.remote})
	if err != nil {
		return nil, err
	}
	stores.far = list.Lister()
	return hotreader.NewReader(src), nil
}

// peer returns what asks a Hot Reader API once, and its token.
func (s *source) peer() (peer *remote.Source, token *identity.Token, err error) {
	if token, err = tokenFrom(s.tokenFile); err == nil {
		peer, err = remote.New(remote.Options{URL: s.remote, Credential: token})
	}
	return peer, token, err
}

// asking is what query and latest have in common.
type asking struct {
	app     *app
	source  source
	device  string
	names   nameList
	types   nameList
	filters []string
	formatting
	most int  // rows that a terminal is shown; 0 = all
	cut  bool // there were more
}

// formatting are the flags --format and --json.
type formatting struct {
	formats []string // that there are
	format  string
	asJSON  bool
}

func (k *formatting) flags(cmd *cobra.Command, of string) {
	cmd.Flags().StringVar(&k.format, "format", "", "`format` of the "+of+": "+strings.Join(k.formats, ", ")+" (default table on a terminal, jsonl elsewhere)")
	cmd.Flags().BoolVar(&k.asJSON, "json", false, "the same as --format json")
	words(cmd, "format", k.formats...)
}

// choose settles the format of what goes to out.
func (k *formatting) choose(cmd *cobra.Command, out io.Writer) error {
	switch {
	case k.asJSON && k.format != "" && k.format != "json":
		return usagef("%s: --json and --format %s contradict each other; choose one", cmd.Name(), k.format)
	case k.asJSON:
		k.format = "json"
	case k.format == "" && terminal.Is(out):
		k.format = "table"
	case k.format == "":
		k.format = "jsonl"
	case !slices.Contains(k.formats, k.format):
		return usagef("%s: --format %s is unknown; %s", cmd.Name(), k.format, meantAndAll(k.format, k.formats))
	}
	return nil
}

func (k *asking) flags(cmd *cobra.Command) {
	k.source.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&k.device, "device", "", "the device's `id`")
	f.Var(&k.names, "property", "`name` of a property to read; repeat it, or separate names by commas; quote a name with a comma, or in braces, as '\"a, b\"' or '\"{a}\"'")
	f.Var(&k.types, "type", "`name=type` of a property: "+plain.TypeWords+"; repeat it, or separate them by commas as those of --property")
	f.StringArrayVar(&k.filters, "filter", nil, "keep the rows that pass this `test`, as 'temperature>80', with = != < <= > >=; repeat it to demand more")
	k.formatting.flags(cmd, "answer")
	f.SortFlags = false
	complete(cmd, "device", k.source.ids)
	complete(cmd, "property", func(ctx context.Context) []string { return k.source.properties(ctx, k.device) })
}

// query checks the flags and builds the query.
func (k *asking) query(cmd *cobra.Command) (q hotreader.Query, err error) {
	if err := k.source.check(cmd); err != nil {
		return q, err
	}
	switch {
	case k.device == "":
		return q, usagef("%s: which device? Give --device ID%s", cmd.Name(), choices(k.source.ids(cmd.Context())))
	case len(k.names) == 0:
		return q, usagef("%s: which property? Give --property NAME%s", cmd.Name(), choices(k.source.properties(cmd.Context(), k.device)))
	}
	if err := k.choose(cmd, k.app.stdout); err != nil {
		return q, err
	}
	q = hotreader.Query{Device: k.device, Properties: k.names}
	if q.Types, err = plain.Types(k.names, k.types); err != nil {
		return q, usagef("%s: --type: %v", cmd.Name(), err)
	}
	for _, text := range k.filters {
		f, err := parseFilter(text)
		if err != nil {
			return q, usagef("%s: --filter %v", cmd.Name(), err)
		}
		q.Filters = append(q.Filters, f)
	}
	return q, nil
}

const timeHelp = "an instant (2026-03-02T06:00:00Z; without a zone UTC), now, or before now as -90m, -24h, -7d, -2w"

// instant is a flag that holds a point in time, absolute or relative to now.
type instant struct {
	time time.Time
	text string
	now  func() time.Time
}

func (i *instant) String() string { return i.text }
func (i *instant) Type() string   { return "time" }

func (i *instant) Set(text string) error {
	t, err := parseInstant(text, i.now())
	if err != nil {
		return err
	}
	i.time, i.text = t, text
	return nil
}

func parseInstant(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "now" {
		return now, nil
	}
	if span, ok := strings.CutPrefix(text, "-"); ok {
		d, err := parseSpan(span)
		return now.Add(-d), err
	}
	if span, ok := strings.CutPrefix(text, "+"); ok {
		d, err := parseSpan(span)
		return now.Add(d), err
	}
	t, err := hotreader.ParseTime([]byte(text))
	if err != nil {
		return time.Time{}, fmt.Errorf("give %s", timeHelp)
	}
	return t, nil
}

// parseSpan reads a Go duration, and besides whole or broken days (d) and weeks (w).
func parseSpan(text string) (time.Duration, error) {
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if count, ok := strings.CutSuffix(text, unit); ok {
			n, err := strconv.ParseFloat(count, 64)
			if err == nil && n >= 0 && n*float64(length) < float64(1<<62) {
				return time.Duration(n * float64(length)), nil
			}
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 { // which knows neither d nor w
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a span of time; give one as 90m, 24h, 7d or 2w", text)
}

// operators are the signs that they consist of.
const operators = "=!<>"

const filterHelp = "as 'temperature>80', 'state!=off' or 'running=true' (operators = != < <= > >=)"

// parseFilter reads a filter as people write it: property, operator, value. A
// value is a number, true, false or text; quotes make text of anything.
func parseFilter(text string) (f hotreader.Filter, err error) {
	at := strings.IndexAny(text, operators)
	if at < 0 {
		return f, fmt.Errorf("%q has no operator; write it %s", text, filterHelp)
	}
	value := strings.TrimLeft(text[at:], operators)
	operator := strings.TrimSuffix(text[at:], value)
	value, f.Property = strings.TrimSpace(value), strings.TrimSpace(text[:at])
	if operator == "==" {
		operator = "="
	}
	if f.Op, err = hotreader.ParseOp(operator); err != nil {
		return f, fmt.Errorf("%q: operator %q is unknown; write it %s", text, operator, filterHelp)
	}
	switch {
	case f.Property == "":
		return f, fmt.Errorf("%q names no property; write it %s", text, filterHelp)
	case value == "":
		return f, fmt.Errorf("%q has nothing to compare with; write it %s", text, filterHelp)
	case value == "true" || value == "false":
		f.Value = hotreader.BoolValue(value == "true")
	case hotreader.IsNumber([]byte(value)):
		f.Value = hotreader.NumberValue([]byte(value))
	case len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'':
		f.Value = hotreader.StringValue([]byte(value[1 : len(value)-1]))
	case value[0] == '"':
		var s string
		if err := json.Unmarshal([]byte(value), &s); err != nil {
			return f, fmt.Errorf("%q: the quoted text does not end, or has a wrong escape", text)
		}
		f.Value = hotreader.StringValue([]byte(s))
	default:
		f.Value = hotreader.StringValue([]byte(value))
	}
	return f, nil
}

// nameList is a flag that holds names, separated by commas. A name in double
// quotes may have commas, too; any other is taken as it is.
type nameList []string

func (l *nameList) String() string { return strings.Join(*l, ",") }

// Type returns what help calls a value.
func (l *nameList) Type() string { return "name" }

// Set adds names.
func (l *nameList) Set(text string) error {
	names, err := plain.Names(text)
	*l = append(*l, names...)
	return err
}

// words offers a flag's words to the shell.
func words(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag's name is wrong: every test would find it
	}
}
