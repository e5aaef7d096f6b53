package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"hotreader"
	"hotreader/identity"
	"hotreader/internal/endpoint"
	"hotreader/internal/jsontext"
)

// A rule says what the value of a key must be. It reads the value into what to
// points to, or reports what is wrong with it.
type rule interface {
	read(l *loader, where string, raw json.RawMessage, to any)
}

// A variableRule is one of a key that the functions get as a variable, whose text
// parse reads.
type variableRule interface {
	rule
	parse(text string, to any) error
}

// shape is a text that must match a pattern. The patterns are compiled where
// they are used: a function that starts has a use for one or two.
type shape struct {
	pattern, want string
	clean         func(string) string // of a text that fits; nil = as it is
}

// The rules are those of the clouds' API references.
var (
	awsRegion      = shape{pattern: `^[a-z]{2,}(-[a-z]+)+-[0-9]$`, want: "a region, as eu-central-1"}
	awsTable       = shape{pattern: `^` + awsTableARN + `?[A-Za-z0-9_.-]{3,255}$`, want: "3 to 255 of a-z, A-Z, 0-9, _, - and ., or the ARN of a table"}
	awsWorkspace   = shape{pattern: `^[A-Za-z0-9_][A-Za-z0-9_-]{0,126}[A-Za-z0-9]$`, want: "a workspace's id: up to 128 of a-z, A-Z, 0-9, _ and -"}
	awsRole        = shape{pattern: `^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]{0,511}[\x21-\x2e\x30-\x7e]$`, want: "arn:aws:iam::ACCOUNT:role/NAME"}
	awsSecret      = shape{pattern: `^arn:aws[^:\s]*:secretsmanager:[^:\s]+:[^:\s]{12}:secret:[^:\s]+$`, want: "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"}
	awsKey         = shape{pattern: `^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[a-z0-9-]{1,64}$`, want: "arn:aws:kms:REGION:ACCOUNT:key/ID"}
	subscription   = shape{`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`, "a subscription's id, as 00000000-0000-0000-0000-000000000000", strings.ToLower}
	azureLocation  = shape{`^[A-Za-z][A-Za-z0-9 ]{1,62}$`, "a location, as westeurope", func(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }}
	azureGroup     = shape{pattern: `^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`, want: "1 to 90 letters, digits, _, -, ., ( and ), no . at the end"}
	azureAccount   = shape{pattern: `^[a-z0-9][a-z0-9-]{1,42}[a-z0-9]$`, want: "an account's name: 3 to 44 of a-z, 0-9 and -"}
	azureID        = shape{pattern: `^[^/\\?#\x00-\x1f\x7f-\x9f]{0,254}[^/\\?#\x00-\x20\x7f-\x9f]$`, want: `up to 255 characters without / \ ? # and without a blank at the end`}
	azureKey       = shape{pattern: `^https://[A-Za-z0-9-]{3,24}\.(vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net)/keys/[A-Za-z0-9-]{1,127}$`, want: "https://VAULT.vault.azure.net/keys/NAME"}
	azureIdentity  = shape{pattern: `^/subscriptions/[0-9A-Fa-f-]{36}/resourceGroups/[^/]{1,90}/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/[A-Za-z0-9_-]{3,128}$`, want: "/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME"}
	storageAccount = shape{pattern: `^[a-z0-9]{3,24}$`, want: "a storage account's name: 3 to 24 of a-z and 0-9"}
	blobContainer  = shape{pattern: `^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`, want: "a container's name: 3 to 63 of a-z, 0-9 and -"}
	bucket         = shape{pattern: `^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`, want: "a bucket's name: 3 or more of a-z, 0-9, -, _ and ."}
	prefix         = shape{pattern: `^[^\x00-\x1f?#*$'"\\]{1,1000}$`, want: "what the keys begin with, as telemetry/"}
	gcpProject     = shape{pattern: `^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`, want: "a project's id: 6 to 30 of a-z, 0-9 and -"}
	gcpRegion      = shape{pattern: `^[a-z]+-[a-z]+[0-9]+$`, want: "a region, as europe-west3"}
	gcpKey         = shape{pattern: `^projects/[a-z0-9.:-]{1,63}/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}$`, want: "projects/P/locations/REGION/keyRings/RING/cryptoKeys/NAME"}
	gcpDatabase    = shape{pattern: `^(\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$`, want: "(default), or 4 to 63 of a-z, 0-9 and -"}

	// What schemas say of the other files; CheckTwinName and ParseCloud have
	// the words.
	twinName   = shape{pattern: `^[A-Za-z][A-Za-z0-9_-]{0,20}$`, want: wantTwinName}
	cloudWords = words{"cloud", []string{"aws", "azure", "google", "gcp"}}
	days       = whole{1, 36500, ""}
	aText      = attribute{}

	// What a function is given exists; a project's id may also be a number, that of
	// a domain has a dot and a colon, and an emulator takes any.
	gcpName    = shape{pattern: `^[a-z0-9.:-]{1,63}$`, want: "small letters, digits and -"}
	gcpSecret  = shape{pattern: `^projects/[a-z0-9.:-]{1,63}/(locations/[A-Za-z0-9-]+/)?secrets/[A-Za-z0-9_-]+/versions/[A-Za-z0-9_-]+$`, want: "projects/PROJECT/secrets/NAME/versions/latest"}
	vaultHost  = shape{pattern: `^[a-z0-9-]+\.(vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net)$`}
	vaultPath  = shape{pattern: `^secrets(/[A-Za-z0-9-]+){1,2}$`}
	otelName   = shape{pattern: `^OTEL_[A-Z0-9_]{1,120}$`}
	argName    = shape{pattern: `^"[A-Za-z0-9][A-Za-z0-9._()-]{0,254}"$`, want: "letters, digits and . _ ( ) - in quotes"}
	argPath    = shape{pattern: `^"[A-Za-z0-9][A-Za-z0-9._/:() -]{0,999}"$`, want: "letters, digits and . _ / : ( ) - in quotes"}
	argBoolean = shape{pattern: `^(true|false)$`, want: "true or false"}
)

// awsTableARN is what an ARN has before a table's name.
const awsTableARN = `(arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:[0-9]{12}:table/)`

func (s shape) fits(text string) bool {
	return utf8.ValidString(text) && regexp.MustCompile(s.pattern).MatchString(text)
}

func (s shape) read(l *loader, where string, raw json.RawMessage, to any) {
	given, ok := l.text(where, raw)
	text := strings.TrimSpace(given)
	switch {
	case !ok:
		return
	case !s.fits(text):
		l.add(where, "%.60q does not fit; expected %s", given, s.want)
	case s.clean != nil:
		text = s.clean(text)
	}
	*to.(*string) = text
}

// networks is a list of networks.
type networks struct{}

func (networks) read(l *loader, where string, raw json.RawMessage, to any) {
	items, ok := l.items(where, raw)
	if ok && len(items) == 0 {
		l.add(where, "is empty, which would be all networks; expected some, as 192.0.2.0/24, or leave it out")
	}
	var all []string
	for _, item := range items {
		text, ok := l.text(item.name, item.value)
		n, err := netip.ParsePrefix(text)
		if ok && (err != nil || n != n.Masked()) {
			l.add(item.name, "%.40q does not fit; expected a network, as 192.0.2.0/24, or 192.0.2.7/32 for one address", text)
		}
		all = append(all, text)
	}
	*to.(*[]string) = all
}

// words is a text of a few, in any letter case.
type words struct {
	what string
	of   []string
}

// read keeps the word as it stands in of.
func (w words) read(l *loader, where string, raw json.RawMessage, to any) {
	if text, ok := l.text(where, raw); ok {
		if err := w.parse(text, to); err != nil {
			l.add(where, "%w", err)
		}
	}
}

func (w words) parse(text string, to any) error {
	word := strings.ToLower(strings.TrimSpace(text))
	if !slices.Contains(w.of, word) {
		return notOneOf(text, w.what, w.of...)
	}
	*to.(*string) = word
	return nil
}

type boolean struct{}

func (boolean) read(l *loader, where string, raw json.RawMessage, to any) {
	if jsontext.KindOf(raw) != jsontext.Boolean {
		l.add(where, "is %s; expected true or false", short(raw))
		return
	}
	*to.(*bool) = raw[0] == 't'
}

// whole is a whole number. want says what it is, for a variable.
type whole struct {
	least, most int
	want        string
}

func (w whole) read(l *loader, where string, raw json.RawMessage, to any) {
	*to.(*int) = l.whole(where, raw, w.least, w.most)
}

func (w whole) parse(text string, to any) error {
	text = strings.TrimSpace(text)
	n, err := strconv.Atoi(text)
	if err != nil || n < w.least || n > w.most {
		return fmt.Errorf("%.40q is not a whole number from %d to %d; expected %s", text, w.least, w.most, w.want)
	}
	*to.(*int) = n
	return nil
}

// retention is how many days logs are kept. CloudWatch Logs offers but a few
// (API reference, PutRetentionPolicy).
type retention struct{ whole }

var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func (r retention) read(l *loader, where string, raw json.RawMessage, to any) {
	r.whole.read(l, where, raw, to)
	days := *to.(*int)
	i, ok := slices.BinarySearch(retentions, days)
	if (l.L3 == AWS || l.L4 == AWS) && days > 0 && !ok {
		l.add(where, "is %d, which CloudWatch does not offer; the nearest are %d and %d", days, retentions[i-1], retentions[i])
	}
}

// LeastRate is the lowest rate that makes sense: a request in seventeen minutes.
const LeastRate = 0.001

// IsRate reports whether an API can be held to so many requests a second.
func IsRate(rate float64) bool { return rate >= LeastRate && rate <= 1e9 }

type rate struct{}

func (rate) read(l *loader, where string, raw json.RawMessage, to any) {
	n, ok := hotreader.NumberValue(raw).Float64()
	if jsontext.KindOf(raw) != jsontext.Number || !ok || !IsRate(n) {
		l.add(where, "is %s; expected requests a second, as 50 or 0.5, at least %g", short(raw), LeastRate)
		return
	}
	*to.(*float64) = n
}

func (rate) parse(text string, to any) error {
	text = strings.TrimSpace(text)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !IsRate(n) {
		return fmt.Errorf("%.40q does not fit; expected requests a second, as 50 or 0.5, at least %g", text, LeastRate)
	}
	*to.(*float64) = n
	return nil
}

// collection is Firestore's: its id, or its path. What is wrong with it the layout
// says.
type collection struct{}

func (collection) read(l *loader, where string, raw json.RawMessage, to any) {
	text, _ := l.text(where, raw)
	*to.(*string) = strings.Trim(text, "/")
}

// checkTable names what a table's name has no place for.
func checkTable(name string) string {
	table := regexp.MustCompile(awsTable.pattern)
	if table.MatchString(name) {
		return ""
	}
	if i := strings.IndexFunc(name, func(c rune) bool { return !table.MatchString("tt" + string(c)) }); i >= 0 && !strings.HasPrefix(name, "arn:") {
		c, _ := utf8.DecodeRuneInString(name[i:])
		return fmt.Sprintf("has the character %q, which no table's name has; expected %s", c, awsTable.want)
	}
	return "invalid table name: expected " + awsTable.want
}

// checkEndpoint does not repeat text, which may hold a key.
func checkEndpoint(text string, withKey bool) string {
	const want = "; expected https://ACCOUNT.documents.azure.com"
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

// checkSecretURI lets no host but Azure Key Vault's be shown the function's
// identity.
func checkSecretURI(text string) string {
	const want = "; expected https://VAULT.vault.azure.net/secrets/NAME"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || !vaultPath.fits(strings.Trim(u.Path, "/")):
		return "is not the URI of a secret" + want
	case endpoint.Loopback(u.Hostname()) && (u.Scheme == "http" || u.Scheme == "https"): // an emulator on this machine
	case u.Scheme != "https" || !vaultHost.fits(strings.ToLower(u.Host)):
		return "is not in Azure Key Vault" + want
	}
	return ""
}

// These leave room for all else in the 4 KB that Lambda has for the variables of a
// function.
const (
	mostReadableBytes = 1 << 10
	mostOTelBytes     = 1 << 10
	mostCallersBytes  = 1 << 10
)

// readable is which devices may be read, a list in the file. Those of the twin must
// be among them.
type readable struct{}

func (readable) parse(text string, to any) (err error) {
	*to.(*identity.Devices), err = identity.ParseDevices(text)
	return err
}

func (readable) read(l *loader, where string, raw json.RawMessage, to any) {
	if !given(raw) {
		l.add(where, "is null, which would be all devices; leave it out for all, or list them")
		return
	}
	items, ok := l.items(where, raw)
	if ok && len(items) == 0 {
		l.add(where, "is empty, which would be all devices; expected ids, or ID prefixes as pump-*, or leave it out")
	}
	var all identity.Devices
	bytes := 0
	for _, item := range items {
		where := item.name
		text, ok := l.text(where, item.value)
		one, err := identity.ParseDevices(cmp.Or(text, " "))
		switch {
		case !ok:
		case len(one) > 1:
			l.add(where, "%.40q has a comma; name such a device by a prefix of its ID, as pump-*", text)
		case err != nil:
			l.add(where, "%.40q does not fit; expected an id, or an ID prefix as pump-*", text)
		default:
			all = append(all, one...)
			bytes += len(one[0]) + 1
		}
	}
	if bytes > mostReadableBytes {
		l.add(where, "has %d bytes; expected at most %d, for Lambda has 4 KB for all variables of a function; name devices by ID prefixes, as pump-*", bytes, mostReadableBytes)
	}
	for _, d := range l.Devices {
		if len(all) == len(items) && !all.Has(d.ID) {
			l.add(where, "leaves out %.60q of %s, which the twin then could not read", d.ID, fileDevices)
			break // there may be hundreds
		}
	}
	*to.(*identity.Devices) = all
}

// otel is OpenTelemetry's variables, of which observe knows what they mean.
type otel struct{}

func (otel) read(l *loader, where string, raw json.RawMessage, to any) {
	o, _ := l.object(where, raw)
	all, size := map[string]string{}, 0
	for _, m := range o {
		where := below(where, m.name)
		switch k := jsontext.KindOf(m.value); {
		case !otelName.fits(m.name):
			l.add(where, "is none of OpenTelemetry's variables; expected names as OTEL_EXPORTER_OTLP_ENDPOINT")
		case strings.HasSuffix(m.name, "_HEADERS"):
			l.add(where, "may hold a key, which has no place in the project folder, in Terraform's state or in a function's settings; let a collector of your own add it")
		case k == jsontext.String:
			if text, ok := l.text(where, m.value); ok {
				all[m.name] = text
			}
		case k == jsontext.Number, k == jsontext.Boolean:
			all[m.name] = string(m.value)
		case k != jsontext.Null:
			l.add(where, "is %s; expected a text, a number, true or false", k)
		}
		size += len(m.name) + len(all[m.name])
	}
	if size > mostOTelBytes {
		l.add(where, "has %d bytes; expected at most %d, for Lambda has 4 KB for all variables of a function", size, mostOTelBytes)
	}
	*to.(*map[string]string) = all
}

// backends is where Terraform keeps the state of each cloud.
type backends struct{}

var backendTypes = []string{"s3", "azurerm", "gcs", "local"}

// backendArguments are those that a project folder, which may come from a stranger,
// can set: they say where the state lies, at the cloud's own address. All others
// come from the environment of the operator: they can name a program, a file, a
// credential, or a server that a credential would be sent to. A name can become a
// part of a host's name, and so must not hold what ends one.
var backendArguments = map[string]map[string]shape{
	"s3": {"bucket": argName, "key": argPath, "region": argName, "dynamodb_table": argName, "kms_key_id": argPath,
		"encrypt": argBoolean, "use_lockfile": argBoolean, "use_dualstack_endpoint": argBoolean, "use_fips_endpoint": argBoolean},
	"azurerm": {"resource_group_name": argName, "storage_account_name": argName, "container_name": argName, "key": argPath,
		"subscription_id": argName, "tenant_id": argName, "client_id": argName,
		"snapshot": argBoolean, "use_azuread_auth": argBoolean, "use_cli": argBoolean, "use_msi": argBoolean, "use_oidc": argBoolean},
	"gcs":   {"bucket": argName, "prefix": argPath, "kms_encryption_key": argPath},
	"local": {},
}

// backendHelp says which they are.
func backendHelp() string {
	var b strings.Builder
	for i, backend := range backendTypes {
		names := "nothing"
		if all := slices.Sorted(maps.Keys(backendArguments[backend])); len(all) > 0 {
			names = "`" + strings.Join(all, "`, `") + "`"
		}
		fmt.Fprintf(&b, "%s for %s %s", []string{":", ";"}[min(i, 1)], backend, names)
	}
	return b.String()
}

func (backends) read(l *loader, where string, raw json.RawMessage, to any) {
	all := map[Cloud]Backend{}
	var fields []field
	for _, cloud := range []Cloud{AWS, Azure, GCP} {
		fields = append(fields, field{name: string(cloud), read: func(where string, raw json.RawMessage) { all[cloud] = l.backend(where, raw) }})
	}
	l.fields(where, raw, fields...)
	*to.(*map[Cloud]Backend) = all
}

func (l *loader) backend(where string, raw json.RawMessage) Backend {
	b := Backend{Config: map[string]json.RawMessage{}}
	typed := jsontext.KindOf(raw) != jsontext.Object
	var arguments object
	l.fields(where, raw,
		field{name: "type", read: func(where string, raw json.RawMessage) {
			typed = true
			text, ok := l.text(where, raw)
			if ok && !slices.Contains(backendTypes, text) {
				l.add(where, "%w", notOneOf(text, "backend that is known here", backendTypes...))
				return
			}
			b.Type = text
		}},
		field{name: "config", read: func(where string, raw json.RawMessage) { arguments, _ = l.object(where, raw) }})
	for _, m := range arguments {
		if where := below(where+".config", m.name); b.Type == "" || l.backendArgument(where, b.Type, m) {
			b.Config[m.name] = m.value
		}
	}
	if !typed {
		l.add(where+".type", "is missing; expected one of %s", strings.Join(backendTypes, ", "))
	}
	return b
}

// backendArgument checks an argument of a backend.
func (l *loader) backendArgument(where, backend string, m member) bool {
	allowed := backendArguments[backend]
	shape, known := allowed[m.name]
	switch {
	case !known && len(allowed) == 0:
		l.add(where, "is not taken from a project folder; a backend of the type local has no arguments here, its state lies in %s", WorkFolder)
	case !known:
		l.add(where, "is not taken from a project folder, where it could name a credential, a file or another server; expected %s, and the rest in your environment",
			strings.Join(slices.Sorted(maps.Keys(allowed)), ", "))
	case jsontext.KindOf(m.value) == jsontext.Null:
	case !shape.fits(string(m.value)) || strings.Contains(string(m.value), ".."):
		l.add(where, "is %s; expected %s", short(m.value), shape.want)
	default:
		return true
	}
	return false
}
