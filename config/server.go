package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"hotreader/internal/endpoint"
)

// AzureFunctions reads the environment of a function app on Azure Functions:
//
//	FUNCTIONS_CUSTOMHANDLER_PORT   set by the Functions host
//	DIGITAL_TWIN_INFO          the twin's name and the clouds of its layers
//	REMOTE_READER_URL          the API in the cloud of hot storage, if that is another
//	INTER_CLOUD_TOKEN          the token, or
//	INTER_CLOUD_TOKEN_SECRET   the URI of the secret in Azure Key Vault that holds it
//	COSMOS_DB_ENDPOINT, COSMOS_DB_DATABASE, COSMOS_DB_CONTAINER
//	                           the container, unless hot storage is remote
//	COSMOS_DB_KEY              a key of the account; not set: managed identity
//	HOTREADER_DEVICE_KEY, HOTREADER_TIME_KEY, HOTREADER_TIME_FORMAT,
//	HOTREADER_RATE, HOTREADER_BURST, HOTREADER_LOG_LEVEL
//	HOTREADER_DEVICES          the devices that may be read, as pump-7,valve-*; all
//	                           if it is not set
//
// The role is API: the Hot Reader API is served, over the container where hot
// storage is on Azure, over REMOTE_READER_URL where only the twin is. Without
// DIGITAL_TWIN_INFO hot storage is here. The token guards what is served and, in
// the second case, is what the remote API is shown: it is one right, to read this
// twin's hot storage, by whichever door. The account's key is checked and stays
// in the environment.
func AzureFunctions(getenv func(string) string) (*Function, error) {
	e := &env{get: getenv}
	f := &Function{}
	if e.server(f, Azure, checkSecretURI, "iso8601", "epoch_ms", "epoch_s") {
		e.cosmos(f)
	}
	f.Port = e.port("FUNCTIONS_CUSTOMHANDLER_PORT", 0)
	if err := e.err("environment of the Azure function"); err != nil {
		return nil, err
	}
	return f, nil
}

// CloudRun reads the environment of a service on Google Cloud Run:
//
//	PORT                       set by Cloud Run; 8080 elsewhere
//	DIGITAL_TWIN_INFO, REMOTE_READER_URL, INTER_CLOUD_TOKEN
//	                           as on Azure
//	INTER_CLOUD_TOKEN_SECRET   a secret's version in Google Secret Manager, as
//	                           projects/PROJECT/secrets/NAME/versions/latest
//	GOOGLE_CLOUD_PROJECT       the project; needed unless hot storage is remote
//	FIRESTORE_COLLECTION       the collection, unless hot storage is remote
//	FIRESTORE_DATABASE         its database; (default) if not set
//	FIRESTORE_EMULATOR_HOST, SECRET_MANAGER_EMULATOR_HOST
//	                           host:port of emulators on this machine to ask
//	                           instead, in plain text
//	HOTREADER_DEVICE_KEY, HOTREADER_TIME_KEY, HOTREADER_TIME_FORMAT (also native),
//	HOTREADER_RATE, HOTREADER_BURST, HOTREADER_LOG_LEVEL
//	HOTREADER_DEVICES          the devices that may be read, as pump-7,valve-*; all
//	                           if it is not set
//
// What is served is decided as on Azure (see AzureFunctions).
func CloudRun(getenv func(string) string) (*Function, error) {
	e := &env{get: getenv}
	f := &Function{Project: strings.TrimSpace(getenv("GOOGLE_CLOUD_PROJECT"))}
	here := e.server(f, GCP, checkSecretVersion, "iso8601", "epoch_ms", "epoch_s", "native")
	switch {
	case f.Project == "" && here:
		e.bad("GOOGLE_CLOUD_PROJECT", "is not set; want the id of the project that hot storage is in")
	case f.Project != "" && !isProject(f.Project):
		e.bad("GOOGLE_CLOUD_PROJECT", "%.40q is no project's id; want small letters, digits and -", f.Project)
	}
	if here {
		e.firestore(f)
	}
	if f.TokenSecret != "" {
		e.emulator("SECRET_MANAGER_EMULATOR_HOST")
	}
	f.Port = e.port("PORT", 8080)
	if err := e.err("environment of the Cloud Run service"); err != nil {
		return nil, err
	}
	return f, nil
}

// server reads what the programs that serve HTTP have in common. It reports
// whether hot storage is here, as far as that can be read: with a broken route,
// a missing container must not be found only after the repair.
func (e *env) server(f *Function, here Cloud, checkSecret func(string) string, formats ...string) bool {
	f.Role = API
	e.twin(f)
	const name = "DIGITAL_TWIN_INFO"
	if strings.TrimSpace(e.get(name)) == "" {
		if f.RemoteURL = strings.TrimSpace(e.get("REMOTE_READER_URL")); f.RemoteURL != "" {
			e.bad(name, "is not set while REMOTE_READER_URL is; give both, or unset REMOTE_READER_URL if hot storage is here")
		}
	} else if f.L3 != here || f.L4 == "" { // else there is nothing elsewhere to read, whatever the URL
		e.route(f)
	}
	switch {
	case f.Remote && f.L4 != here:
		e.bad(name, "config_providers.layer_3_hot_provider is %s and layer_4_provider is %s, but this program is for %s; one of them must be", f.L3, f.L4, here)
	case f.L3 != "" && f.L3 == f.L4 && f.L3 != here:
		e.bad(name, "config_providers.layer_3_hot_provider and layer_4_provider are both %s, but this program is for %s; one of them must be", f.L3, here)
	case f.L3 != "" && f.L3 != here && f.L4 == "" && f.RemoteURL == "":
		e.bad(name, "config_providers.layer_3_hot_provider is %s, but this program is for %s and layer_4_provider is missing", f.L3, here)
	}
	e.token(f, checkSecret)
	e.items(f, formats...)
	e.limits(f)
	return f.L3 == here || f.L3 == "" && f.RemoteURL == ""
}

// port reads the port to listen on; without a fallback it must be set.
func (e *env) port(name string, fallback int) int {
	text := strings.TrimSpace(e.get(name))
	if text == "" {
		if fallback == 0 {
			e.bad(name, "is not set; the Functions host sets it, elsewhere give a port, as 8080")
		}
		return fallback
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		e.bad(name, "%.40q is no port; want 1 to 65535", text)
		return 0
	}
	return int(port)
}

// cosmos reads which container hot storage is.
func (e *env) cosmos(f *Function) {
	key := strings.TrimSpace(e.get("COSMOS_DB_KEY"))
	if raw, err := base64.StdEncoding.DecodeString(key); key != "" && (err != nil || len(raw) == 0) {
		e.bad("COSMOS_DB_KEY", "is not base64; copy it whole from the account's keys, or unset it to use the managed identity")
	}
	f.Cosmos.Endpoint = strings.TrimSpace(e.get("COSMOS_DB_ENDPOINT"))
	if f.Cosmos.Endpoint == "" {
		e.bad("COSMOS_DB_ENDPOINT", "is not set; want the account's URL, as https://ACCOUNT.documents.azure.com")
	} else if wrong := checkEndpoint(f.Cosmos.Endpoint, key != ""); wrong != "" {
		e.bad("COSMOS_DB_ENDPOINT", "%s", wrong)
	}
	id := func(name, what string) string {
		text := e.get(name)
		switch {
		case text == "":
			e.bad(name, "is not set; want the name of hot storage's %s", what)
		case len(text) > 255 || !utf8.ValidString(text) || strings.ContainsAny(text, `/\?#`) || strings.HasSuffix(text, " "):
			e.bad(name, "is no %s's name; want up to 255 bytes without / \\ ? # and without a blank at the end", what)
		}
		return text
	}
	f.Cosmos.Database = id("COSMOS_DB_DATABASE", "database")
	f.Cosmos.Container = id("COSMOS_DB_CONTAINER", "container")
}

// checkEndpoint does not repeat text, which may hold a key.
func checkEndpoint(text string, withKey bool) string {
	const want = "; want https://ACCOUNT.documents.azure.com"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return "is not a URL" + want
	case u.User != nil:
		return "carries user info; take the part before @ out, a key goes into COSMOS_DB_KEY"
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "has more than an account's URL" + want
	case u.Scheme == "https":
		return ""
	case u.Scheme != "http":
		return fmt.Sprintf("has the scheme %.20q", u.Scheme) + want
	case !endpoint.Loopback(u.Hostname()):
		return "is http" + want + " (http is for an emulator on this machine only)"
	case !withKey:
		return "is http, where no identity's token is sent; set COSMOS_DB_KEY to the emulator's key"
	}
	return ""
}

// firestore reads which collection hot storage is.
func (e *env) firestore(f *Function) {
	f.Firestore.Project = f.Project
	f.Firestore.Database = strings.TrimSpace(e.get("FIRESTORE_DATABASE"))
	if d := f.Firestore.Database; d != "" && d != "(default)" && !isProject(d) {
		e.bad("FIRESTORE_DATABASE", "%.40q is no database's id; want (default), or small letters, digits and -", d)
	}
	f.Firestore.Collection = strings.Trim(e.get("FIRESTORE_COLLECTION"), "/")
	switch parts := strings.Split(f.Firestore.Collection, "/"); {
	case f.Firestore.Collection == "":
		e.bad("FIRESTORE_COLLECTION", "is not set; want the id of hot storage's collection")
	case len(parts)%2 == 0:
		e.bad("FIRESTORE_COLLECTION", "%.80q is the path of a document; want that of a collection, as telemetry or plants/berlin/telemetry", f.Firestore.Collection)
	default:
		for _, id := range parts {
			if wrong := checkID(id); wrong != "" {
				e.bad("FIRESTORE_COLLECTION", "%.80q %s", f.Firestore.Collection, wrong)
				break
			}
		}
	}
	e.emulator("FIRESTORE_EMULATOR_HOST")
}

// emulator checks the address of an emulator. What comes from there in plain
// text, rows or a token, must not leave this machine.
func (e *env) emulator(name string) {
	host := e.get(name)
	if host == "" {
		return
	}
	h, port, err := net.SplitHostPort(host)
	switch {
	case err != nil || h == "" || port == "" || strings.ContainsAny(host, "/@ "):
		if at := strings.LastIndexByte(host, '@'); at >= 0 { // it may be behind a key
			host = "…" + host[at:]
		}
		e.bad(name, "%.80q is no address; want host:port, as 127.0.0.1:8080", host)
	case !endpoint.Loopback(h):
		e.bad(name, "%.80q is not on this machine; all would come in plain text", host)
	}
}

// checkID keeps Firestore's rules for ids of collections and documents.
func checkID(id string) string {
	switch {
	case id == "":
		return "has an empty part"
	case id == "." || id == "..":
		return "has the part " + id + ", which is no id"
	case len(id) > 1500 || !utf8.ValidString(id):
		return "has a part that is no id; want up to 1,500 bytes of UTF-8"
	case len(id) >= 4 && strings.HasPrefix(id, "__") && strings.HasSuffix(id, "__"):
		return "has a part of the form __…__, which is Firestore's own"
	}
	return ""
}

// isProject reports whether id is made as ids of projects are. Those of a domain
// have a dot and a colon.
func isProject(id string) bool {
	return id != "" && len(id) <= 63 && !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != ':'
	})
}

// vaults are the domains of Azure Key Vault: no other host may be shown the
// function's identity.
var vaults = []string{".vault.azure.net", ".vault.azure.cn", ".vault.usgovcloudapi.net"}

// checkSecretURI does not repeat text: somebody may have put the token there.
func checkSecretURI(text string) string {
	const want = "; want https://VAULT.vault.azure.net/secrets/NAME"
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "is not the URI of a secret" + want
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "secrets" {
		return "is not the URI of a secret" + want
	}
	for _, part := range parts[1:] {
		if !isLabel(part, "-") {
			return "is not the URI of a secret" + want
		}
	}
	if endpoint.Loopback(u.Hostname()) && (u.Scheme == "http" || u.Scheme == "https") {
		return "" // an emulator on this machine
	}
	if u.Scheme == "https" {
		for _, domain := range vaults {
			if name, ok := strings.CutSuffix(strings.ToLower(u.Host), domain); ok && isLabel(name, "-") {
				return ""
			}
		}
	}
	return "is not in Azure Key Vault" + want
}

// checkSecretVersion does not repeat name: somebody may have put the token there.
func checkSecretVersion(name string) string {
	const want = "is not the version of a secret; want projects/PROJECT/secrets/NAME/versions/latest"
	p := strings.Split(name, "/")
	if len(p) == 8 && p[2] == "locations" && isLabel(p[3], "-") { // a regional secret
		p = append(p[:2:2], p[4:]...)
	}
	if len(p) != 6 || p[0] != "projects" || !isProject(p[1]) || p[2] != "secrets" || !isLabel(p[3], "-_") ||
		p[4] != "versions" || !isLabel(p[5], "-_") {
		return want
	}
	return ""
}

// isLabel reports whether s is letters, digits and others, and not empty.
func isLabel(s, others string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(others, c)
	})
}
