// Package config reads a function's environment into checked values, once, at
// start. Whatever is wrong is reported together: one error of CodeConfig with
// one line for each problem, which begins with the variable's name and says
// what is wrong and what is wanted. A secret's value is never in it.
package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"

	"hotreader"
	"hotreader/identity"
	"hotreader/internal/nearest"
	"hotreader/route"
)

// Cloud is one of the three clouds.
type Cloud string

// The clouds.
const (
	AWS   Cloud = "aws"
	Azure Cloud = "azure"
	GCP   Cloud = "gcp" // also written google
)

// ParseCloud returns the cloud that text names, whatever its letter case and
// the blanks around it. The error of another word says the nearest right one.
func ParseCloud(text string) (Cloud, error) {
	word := strings.ToLower(strings.TrimSpace(text))
	switch word {
	case "aws", "azure", "gcp":
		return Cloud(word), nil
	case "google":
		return GCP, nil
	}
	return "", notOneOf(text, "cloud", "aws", "azure", "google", "gcp")
}

// CheckTwinName says what is wrong with a twin's name, or nil. A name is a
// letter and up to 20 letters, digits, _ or -, all ASCII.
func CheckTwinName(name string) error {
	const want = "want a letter, then up to 20 letters, digits, _ or -"
	if name == "" {
		return errors.New("is empty; " + want)
	}
	n := 0
	for _, c := range name {
		n++
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9' || c == '_' || c == '-'
		switch {
		case n == 1 && digit:
			return fmt.Errorf("%.40q begins with %q, which is not a letter; %s", name, c, want)
		case !letter && !digit:
			return fmt.Errorf("%.40q has the character %q at place %d; %s", name, c, n, want)
		}
	}
	if n > 21 {
		return fmt.Errorf("%.40q has %d characters, at most 21 are allowed; %s", name, n, want)
	}
	return nil
}

// Role is what a function does.
type Role string

// The roles. They are also the handler's names on AWS.
const (
	History   Role = "hot-reader"            // a twin's history query
	LastEntry Role = "hot-reader-last-entry" // a twin's last-entry query
	API       Role = "hot-reader-api"        // the Hot Reader API
)

// Items says how a store's items are laid out. Zero values are the contract's
// defaults and left to the store.
type Items struct {
	DeviceKey  string // attribute with the device's id; "" = device_id
	TimeKey    string // attribute with the instant; "" = timestamp
	TimeFormat string // iso8601, epoch_ms, epoch_s or, in Firestore, native; "" = iso8601
}

// Cosmos names a container of Azure Cosmos DB.
type Cosmos struct {
	Endpoint  string // of the account, as https://ACCOUNT.documents.azure.com
	Database  string
	Container string
}

// Firestore names a collection of Google Cloud Firestore.
type Firestore struct {
	Project    string
	Database   string // "" = (default)
	Collection string // its id, or its path
}

// Function is the environment of a function, checked.
type Function struct {
	Role Role
	Twin string // the twin's name; "" only for an API
	L3   Cloud  // of hot storage; "" = not said
	L4   Cloud  // of the twin; "" = not said

	// Remote says that hot storage is behind RemoteURL. The API on AWS is always
	// local: there, another function reads for the twin.
	Remote    bool
	RemoteURL string

	// Token is the inter-cloud token, and TokenSecret the name of the secret
	// that holds it. At most one is set; the API and whoever reads remotely has
	// one.
	Token       *identity.Token
	TokenSecret string

	Items    Items
	Rate     float64          // requests a second and token; 0 = the server's default
	Burst    int              // 0 = the server's default
	Devices  identity.Devices // that may be read; empty = all
	LogLevel slog.Level

	// Where hot storage is, on the cloud of the function; zero if Remote.
	Table     string // DynamoDB's
	Cosmos    Cosmos
	Firestore Firestore

	Port    int    // to listen on; 0 on AWS
	Project string // the Google Cloud project; "" only if it is not said
}

// Route is the route the function was checked for.
func (f *Function) Route() route.Route {
	return route.Route{URL: f.RemoteURL, L3: string(f.L3), L4: string(f.L4)}
}

// env reads variables and collects what is wrong with them.
type env struct {
	get      func(string) string
	problems []error

	// The provider is there, but cannot be read, which is one of the problems.
	unreadL3, unreadL4 bool
}

func (e *env) bad(name, format string, args ...any) {
	e.problems = append(e.problems, fmt.Errorf(name+": "+format, args...))
}

// err returns all problems as one error.
func (e *env) err(op string) error {
	if len(e.problems) == 0 {
		return nil
	}
	// Each on a line of its own, below the line that says what this is.
	all := errors.Join(append([]error{fmt.Errorf("%d to be changed", len(e.problems))}, e.problems...)...)
	return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: all}
}

// common reads what functions have in common on every cloud: f.Role must be
// set. checkSecret says what is wrong with the name of a secret, or "".
func (e *env) common(f *Function, checkSecret func(string) string) {
	e.twin(f)
	if f.Role != API {
		e.route(f)
	}
	e.token(f, checkSecret)
	e.items(f, "iso8601", "epoch_ms", "epoch_s")
	e.limits(f)
}

// route reads REMOTE_READER_URL and decides whether hot storage is there.
func (e *env) route(f *Function) {
	f.RemoteURL = strings.TrimSpace(e.get("REMOTE_READER_URL"))
	r := f.Route()
	// Of a provider that cannot be read nothing more is to be said: neither that
	// it is missing nor that the two differ.
	if e.unreadL3 {
		r.L3 = cmp.Or(r.L4, string(AWS))
	}
	if e.unreadL4 {
		r.L4 = cmp.Or(r.L3, string(AWS))
	}
	remote, err := r.Remote()
	if err, ok := errors.AsType[*hotreader.Error](err); ok {
		for line := range strings.SplitSeq(err.Err.Error(), "\n") {
			e.problems = append(e.problems, errors.New(line))
		}
	}
	f.Remote = remote
}

// twin reads DIGITAL_TWIN_INFO.
func (e *env) twin(f *Function) {
	const name = "DIGITAL_TWIN_INFO"
	const want = `want {"config":{"digital_twin_name":…},"config_providers":{"layer_3_hot_provider":…,"layer_4_provider":…}}`
	text := e.get(name)
	if strings.TrimSpace(text) == "" {
		if f.Role != API {
			e.bad(name, "is not set; %s", want)
		}
		return
	}
	e.unreadL3, e.unreadL4 = true, true
	var info struct {
		Config struct {
			Name *string `json:"digital_twin_name"`
		} `json:"config"`
		Providers struct {
			L3 string `json:"layer_3_hot_provider"`
			L4 string `json:"layer_4_provider"`
		} `json:"config_providers"`
	}
	d := json.NewDecoder(strings.NewReader(text))
	err := d.Decode(&info)
	if err == nil && d.More() {
		err = fmt.Errorf("more text follows the object at byte %d", d.InputOffset()+1)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := wrong.Field
		if field == "" {
			field = "the whole"
		}
		e.bad(name, "%s is a JSON %s; %s", field, wrong.Value, want)
		return
	}
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		e.bad(name, "is not JSON: %v at byte %d; %s", wrong, wrong.Offset, want)
		return
	}
	if err != nil {
		e.bad(name, "is not JSON: %v; %s", err, want)
		return
	}
	if bytes.Equal(bytes.TrimSpace([]byte(text)), []byte("null")) {
		e.bad(name, "is null; %s", want)
		return
	}
	switch {
	case info.Config.Name != nil:
		f.Twin = *info.Config.Name
		if err := CheckTwinName(f.Twin); err != nil {
			e.bad(name, "config.digital_twin_name %w", err)
		}
	case f.Role != API:
		e.bad(name, "config.digital_twin_name is missing; %s", want)
	}
	provider := func(field, text string) (cloud Cloud, unread bool) {
		if strings.TrimSpace(text) == "" {
			return "", false
		}
		cloud, err := ParseCloud(text)
		if err != nil {
			e.bad(name, "config_providers.%s %w", field, err)
		}
		return cloud, err != nil
	}
	f.L3, e.unreadL3 = provider("layer_3_hot_provider", info.Providers.L3)
	f.L4, e.unreadL4 = provider("layer_4_provider", info.Providers.L4)
}

// token reads INTER_CLOUD_TOKEN or INTER_CLOUD_TOKEN_SECRET.
func (e *env) token(f *Function, checkSecret func(string) string) {
	const static, named = "INTER_CLOUD_TOKEN", "INTER_CLOUD_TOKEN_SECRET"
	token, name := e.get(static), strings.TrimSpace(e.get(named))
	switch {
	case token != "" && name != "":
		e.bad(static, "is set, and %s too; set exactly one of them", named)
	case token != "":
		t, err := identity.Static(token)
		if err, ok := errors.AsType[*hotreader.Error](err); ok {
			e.bad(static, "%w", err.Err)
			return
		}
		f.Token = t
	case name != "":
		if wrong := checkSecret(name); wrong != "" {
			e.bad(named, "%s", wrong)
			return
		}
		f.TokenSecret = name
	case f.Role == API:
		e.bad(static, "is not set, and %s neither; the API does not start without a token: set one of them", named)
	case f.RemoteURL != "":
		e.bad(static, "is not set, and %s neither, but REMOTE_READER_URL is; set one of them to the token of the remote API", named)
	}
}

// items reads how the store's items are laid out. formats are the time formats
// that the store knows.
func (e *env) items(f *Function, formats ...string) {
	key := func(name string) string {
		text := e.get(name)
		switch {
		case len(text) > hotreader.MaxNameBytes:
			e.bad(name, "has %d bytes; at most %d are allowed", len(text), hotreader.MaxNameBytes)
		case !utf8.ValidString(text):
			e.bad(name, "is not valid UTF-8")
		}
		return text
	}
	f.Items.DeviceKey = key("HOTREADER_DEVICE_KEY")
	f.Items.TimeKey = key("HOTREADER_TIME_KEY")
	device, instant := f.Items.DeviceKey, f.Items.TimeKey
	if device == "" {
		device = "device_id"
	}
	if instant == "" {
		instant = "timestamp"
	}
	if device == instant {
		e.bad("HOTREADER_TIME_KEY", "is %.40q, which is the device's key (HOTREADER_DEVICE_KEY); want two attributes", instant)
	}
	f.Items.TimeFormat = e.word("HOTREADER_TIME_FORMAT", "time format", formats...)
}

// LeastRate is the lowest rate that makes sense: a request in seventeen minutes.
const LeastRate = 0.001

// IsRate reports whether an API can be held to so many requests a second.
func IsRate(rate float64) bool { return rate >= LeastRate && rate <= 1e9 }

// limits reads rates, the devices that may be read, and the log level.
func (e *env) limits(f *Function) {
	if text := strings.TrimSpace(e.get("HOTREADER_RATE")); text != "" {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || !IsRate(rate) {
			e.bad("HOTREADER_RATE", "%.40q does not fit; want requests a second, as 50 or 0.5, at least %g", text, LeastRate)
		} else {
			f.Rate = rate
		}
	}
	if text := strings.TrimSpace(e.get("HOTREADER_BURST")); text != "" {
		burst, err := strconv.Atoi(text)
		if err != nil || burst < 1 {
			e.bad("HOTREADER_BURST", "%.40q is not a whole number above 0; want the requests that may come at once, as 100", text)
		} else {
			f.Burst = burst
		}
	}
	var err error
	if f.Devices, err = identity.ParseDevices(e.get("HOTREADER_DEVICES")); err != nil {
		e.bad("HOTREADER_DEVICES", "%w", err)
	}
	switch e.word("HOTREADER_LOG_LEVEL", "log level", "debug", "info", "warn", "error") {
	case "debug":
		f.LogLevel = slog.LevelDebug
	case "warn":
		f.LogLevel = slog.LevelWarn
	case "error":
		f.LogLevel = slog.LevelError
	}
}

// word reads a variable that holds one of a few words, in any letter case; ""
// if it is not set.
func (e *env) word(name, what string, words ...string) string {
	text := e.get(name)
	word := strings.ToLower(strings.TrimSpace(text))
	if word == "" {
		return ""
	}
	for _, w := range words {
		if w == word {
			return w
		}
	}
	e.bad(name, "%w", notOneOf(text, what, words...))
	return ""
}

// notOneOf says that text is none of words and which of them was meant.
func notOneOf(text, what string, words ...string) error {
	hint := ""
	if meant := nearest.Word(strings.TrimSpace(text), words); meant != "" {
		hint = fmt.Sprintf("did you mean %q? ", meant)
	}
	return fmt.Errorf("%.40q is no %s; %swant one of %s", text, what, hint, strings.Join(words, ", "))
}
