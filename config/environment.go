package config

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"hotreader"
	"hotreader/identity"
	"hotreader/internal/endpoint"
	"hotreader/route"
)

// Role is what a function does.
type Role string

// The roles. They are also the handler's names on AWS.
const (
	History   Role = "hot-reader"            // a twin's history query
	LastEntry Role = "hot-reader-last-entry" // a twin's last-entry query
	API       Role = "hot-reader-api"        // the Hot Reader API
)

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

	// Remote says that hot storage is at RemoteURL. The API on AWS is always
	// local: there, another function reads for the twin.
	Remote    bool
	RemoteURL string

	HotDays       int   // how long hot storage keeps a row; 0 = not said
	Cold, Archive Place // read after hot storage

	// HotElsewhere says that only lower tiers are read here, ColdElsewhere that cold
	// storage lies neither here nor where hot storage is asked for.
	HotElsewhere, ColdElsewhere bool

	// Token is the inter-cloud token, and TokenSecret the name of the secret
	// that holds it. At most one is set; the API and remote readers have
	// one, or else Trust and Audience.
	Token       *identity.Token
	TokenSecret string

	Trust         []identity.Trusted // callers of an API, beside those with the token
	PageKeySecret string             // what holds what page tokens are signed with; "" = the token is
	Audience      string             // of the tokens by which the function's cloud proves it to the remote API; "" = the inter-cloud token proves it

	Settings

	Catalog string // file with the packed catalogue of devices; "" = beside the program, if there is one

	// Where hot storage is, on the cloud of the function; zero if Remote.
	Table     string // DynamoDB's
	Cosmos    Cosmos
	Firestore Firestore

	Port    int    // to listen on; 0 on AWS
	Host    string // to listen on, on Google Cloud; "" = every address
	Project string // the Google Cloud project; "" only if it is not said
}

// env reads the variables of a function on the cloud here.
type env struct {
	problems
	Function
	get   func(string) string
	here  Cloud
	given Options // the variables that are keys of config_hot_reader.json, too

	// The provider is there, but cannot be read, which is one of the problems.
	unreadL3, unreadL4 bool

	cold, archive Cloud // the lower tiers' providers; "" = not said
}

// done returns the function, or all problems as one error.
func (e *env) done(op string) (*Function, error) {
	if err := e.err("environment of the " + op); err != nil {
		return nil, err
	}
	f := e.Function
	f.ColdElsewhere = e.cold != "" && e.cold != e.here && !(f.Remote && e.cold == f.L3)
	return &f, nil
}

// trimmed returns a variable without the blanks around it.
func (e *env) trimmed(name string) string { return strings.TrimSpace(e.get(name)) }

// must returns text, which name holds and which must be there. check says what is
// wrong with it, or "".
func (e *env) must(name, text, want string, check func(string) string) string {
	if text == "" {
		e.add(name, "is not set; %s", want)
	} else if wrong := check(text); wrong != "" {
		e.add(name, "%s", wrong)
	}
	return text
}

// Lambda reads the environment of a function on AWS Lambda: the variables of Keys
// that are for all clouds or for AWS. What a function has no use for is not asked
// of it: the API needs a table and a token but no twin; a reader needs the twin,
// and a table or else a URL and a token.
func Lambda(getenv func(string) string) (*Function, error) {
	e := &env{get: getenv, here: AWS}
	roles := words{what: "handler", of: []string{string(History), string(LastEntry), string(API)}}
	if handler := getenv("_HANDLER"); handler == "" {
		e.add("_HANDLER", "is not set; set the function's handler to one of %s, %s, %s", History, LastEntry, API)
	} else if err := roles.parse(handler, (*string)(&e.Role)); err != nil {
		e.add("_HANDLER", "%w", err)
	}
	e.twin()
	if e.Role != API {
		e.route()
	}
	e.tiers()
	e.token()
	e.settings()

	// With a broken route, whether the table is needed follows from what of it
	// can be read, so that a missing table is not found only after the repair.
	local := e.Role == API && !e.HotElsewhere || e.Role != API && e.L3 != "" && e.L3 == e.L4 || e.Role != API && e.RemoteURL == "" && (e.L3 == "" || e.L4 == "")
	if local && e.Role != "" {
		e.Table = e.must("DYNAMODB_TABLE_NAME", getenv("DYNAMODB_TABLE_NAME"), "expected the name of hot storage's table", checkTable)
	}
	e.layout()
	e.must("AWS_REGION", e.trimmed("AWS_REGION"), "Lambda sets it, elsewhere it must be given, as eu-central-1", func(string) string { return "" })
	for _, service := range []string{"", "_DYNAMODB", "_SECRETS_MANAGER", "_IOTTWINMAKER", "_STS"} {
		e.awsEndpoint("AWS_ENDPOINT_URL" + service)
	}
	return e.done("Lambda function")
}

// AzureFunctions reads the environment of a function app on Azure Functions: the
// variables of Keys that are for all clouds or for Azure.
//
// The role is API: the Hot Reader API is served, over the container where hot
// storage is on Azure, over REMOTE_READER_URL where only the twin is. Without
// DIGITAL_TWIN_INFO hot storage is here. The token guards what is served and, in
// the second case, is what the remote API is shown: it is one right, to read this
// twin's hot storage, by whichever door. The account's key is checked and stays
// in the environment.
func AzureFunctions(getenv func(string) string) (*Function, error) {
	e := &env{get: getenv, here: Azure}
	if e.server() {
		e.cosmos()
	}
	e.port("FUNCTIONS_CUSTOMHANDLER_PORT", 0)
	return e.done("Azure function")
}

// CloudRun reads the environment of a service on Google Cloud Run: the variables
// of Keys that are for all clouds or for Google Cloud. What is served is decided as
// on Azure (see AzureFunctions).
func CloudRun(getenv func(string) string) (*Function, error) {
	e := &env{get: getenv, here: GCP}
	here := e.server()
	e.Project = e.trimmed("GOOGLE_CLOUD_PROJECT")
	switch {
	case e.Project == "" && here:
		e.add("GOOGLE_CLOUD_PROJECT", "is not set; expected the id of the project that hot storage is in")
	case e.Project != "" && !gcpName.fits(e.Project):
		e.add("GOOGLE_CLOUD_PROJECT", "invalid project ID %.40q: expected %s", e.Project, gcpName.want)
	}
	if here {
		e.firestore()
	}
	if e.TokenSecret != "" {
		e.emulator("SECRET_MANAGER_EMULATOR_HOST")
	}
	e.port("PORT", 8080)
	e.Host = e.trimmed("HOTREADER_HOST")
	return e.done("Cloud Run service")
}

// server reads what the programs that serve HTTP have in common. It reports
// whether hot storage is here, as far as that can be read: with a broken route,
// a missing container must not be found only after the repair.
func (e *env) server() bool {
	e.Role = API
	e.twin()
	e.tiers()
	if e.HotElsewhere {
		e.token()
		e.settings()
		e.layout()
		return false
	}
	const name = "DIGITAL_TWIN_INFO"
	if e.trimmed(name) == "" {
		if e.RemoteURL = e.trimmed("REMOTE_READER_URL"); e.RemoteURL != "" {
			e.add(name, "is not set while REMOTE_READER_URL is; give both, or unset REMOTE_READER_URL if hot storage is here")
		}
	} else if e.L3 != e.here || e.L4 == "" { // else there is nothing elsewhere to read, whatever the URL
		e.route()
	}
	switch {
	case e.Remote && e.L4 != e.here:
		e.add(name, "config_providers.layer_3_hot_provider is %s and layer_4_provider is %s, but this program is for %s; one of them must be", e.L3, e.L4, e.here)
	case e.L3 != "" && e.L3 == e.L4 && e.L3 != e.here:
		e.add(name, "config_providers.layer_3_hot_provider and layer_4_provider are both %s, but this program is for %s; one of them must be", e.L3, e.here)
	case e.L3 != "" && e.L3 != e.here && e.L4 == "" && e.RemoteURL == "":
		e.add(name, "config_providers.layer_3_hot_provider is %s, but this program is for %s and layer_4_provider is missing", e.L3, e.here)
	}
	e.token()
	e.settings()
	here := e.L3 == e.here || e.L3 == "" && e.RemoteURL == ""
	if !here {
		e.layout()
	}
	return here
}

// route reads REMOTE_READER_URL and decides whether hot storage is there: that
// needs a URL and two providers that differ. Of a provider that cannot be read
// nothing more is to be said, neither that it is missing nor that the two differ.
func (e *env) route() {
	const name = "REMOTE_READER_URL"
	e.RemoteURL = e.trimmed(name)
	two := e.L3 != "" && e.L4 != "" && e.L3 != e.L4
	if e.RemoteURL == "" {
		if two {
			e.add(name, "is not set, but hot storage is on %s and the twin on %s; expected the https URL of the Hot Reader API on %s", e.L3, e.L4, e.L3)
		}
		return
	}
	wrong := route.CheckURL(e.RemoteURL)
	if wrong != "" {
		e.add(name, "%s", wrong)
	}
	missing := func(layer string) {
		e.add("DIGITAL_TWIN_INFO", "config_providers.%s is missing while %s is set; expected aws, azure, google or gcp, or unset %s", layer, name, name)
	}
	if e.L3 == "" && !e.unreadL3 {
		missing("layer_3_hot_provider")
	}
	if e.L4 == "" && !e.unreadL4 {
		missing("layer_4_provider")
	}
	e.Remote = two && wrong == ""
}

// twinInfo is DIGITAL_TWIN_INFO, as deploy writes it and the functions read it.
type twinInfo struct {
	Config struct {
		Name *string         `json:"digital_twin_name"`
		Days json.RawMessage `json:"hot_storage_size_in_days,omitempty"`
	} `json:"config"`
	Providers struct {
		L3 string `json:"layer_3_hot_provider"`
		L4 string `json:"layer_4_provider"`

		Cold    string `json:"layer_3_cold_provider,omitempty"`
		Archive string `json:"layer_3_archive_provider,omitempty"`
	} `json:"config_providers"`
}

func parseTwinInfo(text string) (info twinInfo, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	err = d.Decode(&info)
	wrong, mistyped := errors.AsType[*json.UnmarshalTypeError](err)
	broken, ok := errors.AsType[*json.SyntaxError](err)
	switch {
	case mistyped:
		return info, fmt.Errorf("%s is a JSON %s", cmp.Or(wrong.Field, "the whole"), wrong.Value)
	case ok:
		return info, fmt.Errorf("is not JSON: %w at byte %d", broken, broken.Offset)
	case err != nil:
		return info, fmt.Errorf("is not JSON: %w", err)
	case d.More():
		return info, fmt.Errorf("is not JSON: more text follows the object at byte %d", d.InputOffset()+1)
	case strings.TrimSpace(text) == "null":
		return info, errors.New("is null")
	}
	return info, nil
}

// twin reads DIGITAL_TWIN_INFO.
func (e *env) twin() {
	const name = "DIGITAL_TWIN_INFO"
	const want = `expected {"config":{"digital_twin_name":…},"config_providers":{"layer_3_hot_provider":…,"layer_4_provider":…}}`
	text := e.get(name)
	if strings.TrimSpace(text) == "" {
		if e.Role != API {
			e.add(name, "is not set; %s", want)
		}
		return
	}
	info, err := parseTwinInfo(text)
	if err != nil {
		e.unreadL3, e.unreadL4 = true, true
		e.add(name, "%w; %s", err, want)
		return
	}
	if info.Config.Name != nil {
		e.Twin = *info.Config.Name
		if err := CheckTwinName(e.Twin); err != nil {
			e.add(name, "config.digital_twin_name %w", err)
		}
	} else if e.Role != API {
		e.add(name, "config.digital_twin_name is missing; %s", want)
	}
	provider := func(field, text string) (cloud Cloud, unread bool) {
		if strings.TrimSpace(text) == "" {
			return "", false
		}
		cloud, err := ParseCloud(text)
		if err != nil {
			e.add(name, "config_providers.%s %w", field, err)
		}
		return cloud, err != nil
	}
	e.L3, e.unreadL3 = provider("layer_3_hot_provider", info.Providers.L3)
	e.L4, e.unreadL4 = provider("layer_4_provider", info.Providers.L4)
	e.cold, _ = provider("layer_3_cold_provider", info.Providers.Cold)
	e.archive, _ = provider("layer_3_archive_provider", info.Providers.Archive)
	e.HotDays = e.days("hot_storage_size_in_days", info.Config.Days)
}

// checkSecret says what is wrong with the name of a secret on the function's
// cloud, or "". It does not repeat name, which may be the token by mistake.
func (e *env) checkSecret(name string) string {
	switch {
	case e.here == Azure:
		return checkSecretURI(name)
	case e.here == AWS && !awsSecret.fits(name):
		return "is not the ARN of a secret; expected " + awsSecret.want
	case e.here == GCP && !gcpSecret.fits(name):
		return "is not the version of a secret; expected " + gcpSecret.want
	}
	return ""
}

// token reads INTER_CLOUD_TOKEN or INTER_CLOUD_TOKEN_SECRET, and what may stand instead.
func (e *env) token() {
	e.proof()
	const static, named = "INTER_CLOUD_TOKEN", "INTER_CLOUD_TOKEN_SECRET"
	token, name := e.get(static), e.trimmed(named)
	switch {
	case token != "" && name != "":
		e.add(static, "is set, and %s too; set exactly one of them", named)
	case token != "":
		t, err := identity.Static(token)
		if err, ok := errors.AsType[*hotreader.Error](err); ok {
			e.add(static, "%w", err.Err)
			return
		}
		e.Token = t
	case name != "":
		if wrong := e.checkSecret(name); wrong != "" {
			e.add(named, "%s", wrong)
			return
		}
		e.TokenSecret = name
	default:
		e.proven()
	}
}

// settings reads the variables that are keys of config_hot_reader.json, too.
func (e *env) settings() {
	for _, k := range Keys {
		r, ok := k.rule.(variableRule)
		if !ok || k.Variable == "" {
			continue
		}
		text := e.get(k.Variable)
		_, list := r.(readable) // a list of blanks must not become all devices
		_, name := r.(attribute)
		if text == "" || strings.TrimSpace(text) == "" && !list && !name {
			continue
		}
		if err := r.parse(text, k.at(&e.given)); err != nil {
			e.add(k.Variable, "%w", err)
		}
	}
	e.Settings, e.Catalog = e.given.Settings, e.get("HOTREADER_CATALOG")
}

// layout settles how what is here is laid out: hot storage, or the files of lower tiers,
// which may have any layout.
func (e *env) layout() {
	store := e.here
	if e.Remote || e.HotElsewhere {
		store = ""
	}
	e.settle(&e.given, store, &e.Firestore.Collection, func(name string) string {
		if name == "collection" {
			return "FIRESTORE_COLLECTION"
		}
		return "HOTREADER_" + strings.ToUpper(name)
	})
	e.Settings = e.given.Settings
}

// awsEndpoint checks the address of a service that is not where AWS has it. What
// comes from there in plain text, rows or a token, must not leave this machine.
func (e *env) awsEndpoint(name string) {
	text := e.trimmed(name)
	u, err := url.Parse(text)
	switch {
	case text == "":
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		e.add(name, "invalid service URL: expected https://HOST")
	case u.Scheme == "http" && !endpoint.Loopback(u.Hostname()):
		e.add(name, "is http to another machine; all would come in plain text; expected https://%s", u.Host)
	}
}

// port reads the port to listen on; without a fallback it must be set.
func (e *env) port(name string, fallback int) {
	text := e.trimmed(name)
	port, err := strconv.ParseUint(text, 10, 16)
	switch {
	case text == "" && fallback == 0:
		e.add(name, "is not set; the Functions host sets it, elsewhere give a port, as 8080")
	case text == "":
		e.Port = fallback
	case err != nil || port == 0:
		e.add(name, "invalid port %.40q: expected 1 to 65535", text)
	default:
		e.Port = int(port)
	}
}

// cosmos reads which container hot storage is.
func (e *env) cosmos() {
	key := e.trimmed("COSMOS_DB_KEY")
	if raw, err := base64.StdEncoding.DecodeString(key); key != "" && (err != nil || len(raw) == 0) {
		e.add("COSMOS_DB_KEY", "is not base64; copy it whole from the account's keys, or unset it to use the managed identity")
	}
	e.Cosmos.Endpoint = e.must("COSMOS_DB_ENDPOINT", e.trimmed("COSMOS_DB_ENDPOINT"), "expected the account's URL, as https://ACCOUNT.documents.azure.com",
		func(text string) string { return checkEndpoint(text, key != "") })
	id := func(name, what string) string {
		return e.must(name, e.get(name), "expected the name of hot storage's "+what, func(text string) string {
			if azureID.fits(text) {
				return ""
			}
			return "invalid name of a " + what + ": expected up to 255 bytes without / \\ ? # and without a blank at the end"
		})
	}
	e.Cosmos.Database = id("COSMOS_DB_DATABASE", "database")
	e.Cosmos.Container = id("COSMOS_DB_CONTAINER", "container")
	e.layout()
}

// firestore reads which collection hot storage is.
func (e *env) firestore() {
	database := e.trimmed("FIRESTORE_DATABASE")
	if database != "" && database != "(default)" && !gcpName.fits(database) {
		e.add("FIRESTORE_DATABASE", "invalid database ID %.40q: expected (default), or %s", database, gcpName.want)
	}
	e.Firestore = Firestore{e.Project, database, strings.Trim(e.get("FIRESTORE_COLLECTION"), "/")}
	e.layout()
	e.must("FIRESTORE_COLLECTION", e.Firestore.Collection, "expected the id of hot storage's collection", func(string) string { return "" })
	e.emulator("FIRESTORE_EMULATOR_HOST")
}

// emulator checks the address of an emulator. What comes from there in plain
// text, rows or a token, must not leave this machine.
func (e *env) emulator(name string) {
	host := e.get(name)
	h, port, err := net.SplitHostPort(host)
	switch {
	case host == "":
	case err != nil || h == "" || port == "" || strings.ContainsAny(host, "/@ "):
		if at := strings.LastIndexByte(host, '@'); at >= 0 { // it may be after a key
			host = "…" + host[at:]
		}
		e.add(name, "invalid address %.80q: expected host:port, as 127.0.0.1:8080", host)
	case !endpoint.Loopback(h):
		e.add(name, "%.80q is not on this machine; all would come in plain text", host)
	}
}
