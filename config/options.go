package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"hotreader"
	"hotreader/identity"
	"hotreader/internal/jsontext"
	"hotreader/internal/nearest"
)

// field is one key of config_hot_reader.json.
type field struct {
	name string
	read func(where string, raw json.RawMessage)
}

// fields reads an object all of whose keys are known.
func (l *loader) fields(where string, raw json.RawMessage, fields ...field) {
	o, _ := l.object(where, raw)
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.name
	}
	for _, m := range o {
		i := slices.Index(known, m.name)
		if i < 0 {
			hint, meant := "", nearest.Word(m.name, known)
			if m.name == "google" && slices.Contains(known, string(GCP)) {
				meant = string(GCP)
			}
			if meant != "" {
				hint = fmt.Sprintf("did you mean %s? ", meant)
			}
			l.add(below(where, m.name), "is unknown; %sthere are %s", hint, strings.Join(known, ", "))
			continue
		}
		if given(m.value) {
			fields[i].read(below(where, m.name), m.value)
		}
	}
}

// shape is a text that must match a pattern. The patterns are compiled where
// they are used: a function that starts has no use for them.
type shape struct{ pattern, want string }

// The rules are those of the clouds' API references.
var (
	awsRegion     = shape{`^[a-z]{2,}(-[a-z]+)+-[0-9]$`, "a region, as eu-central-1"}
	awsTable      = shape{`^[A-Za-z0-9_.-]{3,255}$`, "3 to 255 of a-z, A-Z, 0-9, _, - and ."}
	awsWorkspace  = shape{`^[A-Za-z0-9_][A-Za-z0-9_-]{0,126}[A-Za-z0-9]$`, "a workspace's id: up to 128 of a-z, A-Z, 0-9, _ and -"}
	awsRole       = shape{`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]{1,512}$`, "arn:aws:iam::ACCOUNT:role/NAME"}
	subscription  = shape{`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`, "a subscription's id, as 00000000-0000-0000-0000-000000000000"}
	azureLocation = shape{`^[A-Za-z][A-Za-z0-9 ]{1,62}$`, "a location, as westeurope"}
	azureGroup    = shape{`^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$`, "1 to 90 letters, digits, _, -, ., ( and ), no . at the end"}
	azureAccount  = shape{`^[a-z0-9][a-z0-9-]{1,42}[a-z0-9]$`, "an account's name: 3 to 44 of a-z, 0-9 and -"}
	azureID       = shape{`^[^/\\?#\x00-\x1f]{0,254}[^/\\?#\x00-\x20]$`, `up to 255 characters without / \ ? # and without a blank at the end`}
	gcpProject    = shape{`^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`, "a project's id: 6 to 30 of a-z, 0-9 and -"}
	gcpRegion     = shape{`^[a-z]+-[a-z]+[0-9]+$`, "a region, as europe-west3"}
	gcpDatabase   = shape{`^(\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9])$`, "(default), or 4 to 63 of a-z, 0-9 and -"}
)

func (l *loader) shaped(s shape, to *string) func(string, json.RawMessage) {
	return func(where string, raw json.RawMessage) {
		text, ok := l.text(where, raw)
		if !ok {
			return
		}
		if *to = strings.TrimSpace(text); !regexp.MustCompile(s.pattern).MatchString(*to) {
			l.add(where, "%.60q does not fit; want %s", text, s.want)
		}
	}
}

func (l *loader) numbered(least, most int, to *int) func(string, json.RawMessage) {
	return func(where string, raw json.RawMessage) { *to = l.whole(where, raw, least, most) }
}

func (l *loader) options(p *Project) {
	doc, ok := l.open(fileOptions, "")
	if !ok {
		return
	}
	o := &p.Options
	word := func(to *string, what string, words ...string) func(string, json.RawMessage) {
		return func(where string, raw json.RawMessage) {
			text, ok := l.text(where, raw)
			if !ok {
				return
			}
			if *to = strings.ToLower(strings.TrimSpace(text)); !slices.Contains(words, *to) {
				l.add(where, "%w", notOneOf(text, what, words...))
			}
		}
	}
	flag := func(to *bool) func(string, json.RawMessage) {
		return func(where string, raw json.RawMessage) {
			if jsontext.KindOf(raw) != jsontext.Boolean {
				l.add(where, "is %s; want true or false", short(raw))
				return
			}
			*to = raw[0] == 't'
		}
	}
	attribute := func(to *string) func(string, json.RawMessage) {
		return func(where string, raw json.RawMessage) {
			text, ok := l.text(where, raw)
			switch {
			case !ok:
			case text == "" || len(text) > hotreader.MaxNameBytes:
				l.add(where, "has %d bytes; want an attribute's name of 1 to %d", len(text), hotreader.MaxNameBytes)
			case strings.ContainsFunc(text, unicode.IsControl):
				l.add(where, "%.60q has a control character", text)
			default:
				*to = text
			}
		}
	}
	formats := []string{"iso8601", "epoch_ms", "epoch_s"}
	if p.L3 == GCP {
		formats = append(formats, "native")
	}
	l.fields(fileOptions, doc,
		field{"aws", func(where string, raw json.RawMessage) {
			l.fields(where, raw,
				field{"region", l.shaped(awsRegion, &o.AWS.Region)},
				field{"table", l.shaped(awsTable, &o.AWS.Table)},
				field{"workspace", l.shaped(awsWorkspace, &o.AWS.Workspace)},
				field{"workspace_role", l.shaped(awsRole, &o.AWS.WorkspaceRole)},
				field{"api_key", flag(&o.AWS.APIKey)},
				field{"account_log_role", flag(&o.AWS.AccountLogRole)})
			if o.AWS.WorkspaceRole != "" && o.AWS.Workspace == "" {
				l.add(where+".workspace", "is missing while workspace_role is there; want the id of the existing workspace whose role that is")
			}
			// TwinMaker calls only what its workspace's role is allowed to call.
			if o.AWS.Workspace != "" && o.AWS.WorkspaceRole == "" && p.L4 == AWS {
				l.add(where+".workspace_role", "is missing while workspace is there; want the ARN of that workspace's role, which has to be allowed to call the functions")
			}
		}},
		field{"azure", func(where string, raw json.RawMessage) {
			a := &o.Azure
			l.fields(where, raw,
				field{"subscription", l.shaped(subscription, &a.Subscription)},
				field{"location", l.shaped(azureLocation, &a.Location)},
				field{"resource_group", l.shaped(azureGroup, &a.ResourceGroup)},
				field{"cosmos_account", l.shaped(azureAccount, &a.CosmosAccount)},
				field{"database", l.shaped(azureID, &a.Database)},
				field{"container", l.shaped(azureID, &a.Container)})
			a.Subscription = strings.ToLower(a.Subscription)
			a.Location = strings.ToLower(strings.ReplaceAll(a.Location, " ", ""))
			if a.CosmosAccount != "" && a.ResourceGroup == "" {
				l.add(where+".resource_group", "is missing while cosmos_account is there; want the resource group that the existing account is in")
			}
			if a.Database != "" && a.CosmosAccount == "" {
				l.add(where+".cosmos_account", "is missing while database is there; want the existing account that the database is in")
			}
			if a.Container != "" && a.Database == "" {
				l.add(where+".database", "is missing while container is there; want the existing database that the container is in")
			}
		}},
		field{"gcp", func(where string, raw json.RawMessage) {
			l.fields(where, raw,
				field{"project", l.shaped(gcpProject, &o.GCP.Project)},
				field{"region", l.shaped(gcpRegion, &o.GCP.Region)},
				field{"database", l.shaped(gcpDatabase, &o.GCP.Database)},
				field{"collection", func(where string, raw json.RawMessage) {
					text, ok := l.text(where, raw)
					if !ok {
						return
					}
					o.GCP.Collection = strings.Trim(text, "/")
					parts := strings.Split(o.GCP.Collection, "/")
					if len(parts)%2 == 0 {
						l.add(where, "%.80q is the path of a document; want that of a collection, as telemetry or plants/berlin/telemetry", text)
						return
					}
					for _, id := range parts {
						if wrong := checkID(id); wrong != "" {
							l.add(where, "%.80q %s", text, wrong)
							return
						}
					}
				}})
		}},
		field{"device_key", attribute(&o.DeviceKey)},
		field{"time_key", attribute(&o.TimeKey)},
		field{"time_format", word(&o.TimeFormat, "time format", formats...)},
		field{"rate", func(where string, raw json.RawMessage) {
			rate, ok := hotreader.NumberValue(raw).Float64()
			if jsontext.KindOf(raw) != jsontext.Number || !ok || !IsRate(rate) {
				l.add(where, "is %s; want requests a second, as 50 or 0.5, at least %g", short(raw), LeastRate)
				return
			}
			o.Rate = rate
		}},
		field{"burst", l.numbered(1, 1_000_000, &o.Burst)},
		field{"memory_mb", l.numbered(128, 10240, &o.MemoryMB)},
		field{"log_days", func(where string, raw json.RawMessage) {
			if o.LogDays = l.whole(where, raw, 1, 3653); o.LogDays > 0 && (p.L3 == AWS || p.L4 == AWS) {
				l.retention(where, o.LogDays)
			}
		}},
		field{"log_level", word(&o.LogLevel, "log level", "debug", "info", "warn", "error")},
		field{"devices", func(where string, raw json.RawMessage) { o.Readable = l.readable(where, raw, p.Devices) }},
		field{"otel", func(where string, raw json.RawMessage) { o.OTel = l.otel(where, raw) }},
		field{"backend", func(where string, raw json.RawMessage) { o.Backend = l.backends(where, raw) }},
	)
	device, instant := "device_id", "timestamp"
	if o.DeviceKey != "" {
		device = o.DeviceKey
	}
	if o.TimeKey != "" {
		instant = o.TimeKey
	}
	if device == instant {
		l.add(fileOptions+": time_key", "is %.40q, which is the device's key; want two attributes", instant)
	}
}

// These leave room for all else in the 4 KB that Lambda has for the variables of a
// function.
const (
	mostReadableBytes = 1 << 10
	mostOTelBytes     = 1 << 10
)

// readable reads which devices may be read: HOTREADER_DEVICES as a list. Those of
// the twin must be among them.
func (l *loader) readable(where string, raw json.RawMessage, twin []Device) identity.Devices {
	items, ok := l.list(where, raw)
	if !ok {
		return nil
	}
	if len(items) == 0 {
		l.add(where, "is empty, which would be all devices; want ids, or beginnings of ids as pump-*, or leave it out")
		return nil
	}
	var all identity.Devices
	bytes := 0
	for i, item := range items {
		where := fmt.Sprintf("%s[%d]", where, i)
		text, ok := l.text(where, item)
		if !ok {
			continue
		}
		one, err := identity.ParseDevices(cmp.Or(text, " "))
		switch {
		case len(one) > 1:
			l.add(where, "%.40q has a comma; name such a device by its beginning, as pump-*", text)
		case err != nil:
			l.add(where, "%.40q does not fit; want an id, or a beginning of ids as pump-*", text)
		default:
			all = append(all, one...)
			bytes += len(one[0]) + 1
		}
	}
	if bytes > mostReadableBytes {
		l.add(where, "has %d bytes; want at most %d, for Lambda has 4 KB for all variables of a function; name devices by their beginnings, as pump-*", bytes, mostReadableBytes)
	}
	for _, d := range twin {
		if len(all) == len(items) && !all.Has(d.ID) {
			l.add(where, "leaves out %.60q of %s, which the twin then could not read", d.ID, fileDevices)
			break // there may be hundreds
		}
	}
	return all
}

// otel reads OpenTelemetry's variables, of which observe knows what they mean.
func (l *loader) otel(where string, raw json.RawMessage) map[string]string {
	o, _ := l.object(where, raw)
	name := regexp.MustCompile(`^OTEL_[A-Z0-9_]{1,120}$`)
	all, size := map[string]string{}, 0
	for _, m := range o {
		where := below(where, m.name)
		switch k := jsontext.KindOf(m.value); {
		case !name.MatchString(m.name):
			l.add(where, "is none of OpenTelemetry's variables; want names as OTEL_EXPORTER_OTLP_ENDPOINT")
		case strings.HasSuffix(m.name, "_HEADERS"):
			l.add(where, "may hold a key, which has no place in the project folder, in Terraform's state or in a function's settings; let a collector of your own add it")
		case k == jsontext.String:
			if text, ok := l.text(where, m.value); ok {
				all[m.name] = text
			}
		case k == jsontext.Number, k == jsontext.Boolean:
			all[m.name] = string(m.value)
		case k != jsontext.Null:
			l.add(where, "is %s; want a text, a number, true or false", k)
		}
		size += len(m.name) + len(all[m.name])
	}
	if size > mostOTelBytes {
		l.add(where, "has %d bytes; want at most %d, for Lambda has 4 KB for all variables of a function", size, mostOTelBytes)
	}
	return all
}

// retentions are the days that CloudWatch Logs can keep events (API reference,
// PutRetentionPolicy).
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// retention checks that CloudWatch can keep logs for so many days.
func (l *loader) retention(where string, days int) {
	i, ok := slices.BinarySearch(retentions, days)
	if !ok && i > 0 && i < len(retentions) {
		l.add(where, "is %d, which CloudWatch does not offer; the nearest are %d and %d", days, retentions[i-1], retentions[i])
	}
}

// What an argument of a backend may be. A name can become a part of a host's name,
// and so must not hold what ends one: the credentials would go to another host.
var (
	backendName = regexp.MustCompile(`^"[A-Za-z0-9][A-Za-z0-9._()-]{0,254}"$`)
	backendPath = regexp.MustCompile(`^"[A-Za-z0-9][A-Za-z0-9._/:() -]{0,999}"$`)
	backendFlag = regexp.MustCompile(`^(true|false)$`)
)

// backendArguments are those that a project folder, which may come from a stranger,
// can set: they say where the state lies, at the cloud's own address. All others
// come from the environment of who runs it: they can name a program, a file, a
// credential, or a server that a credential would be sent to.
var backendArguments = map[string]map[string]*regexp.Regexp{
	"s3": {"bucket": backendName, "key": backendPath, "region": backendName, "dynamodb_table": backendName, "kms_key_id": backendPath,
		"encrypt": backendFlag, "use_lockfile": backendFlag, "use_dualstack_endpoint": backendFlag, "use_fips_endpoint": backendFlag},
	"azurerm": {"resource_group_name": backendName, "storage_account_name": backendName, "container_name": backendName, "key": backendPath,
		"subscription_id": backendName, "tenant_id": backendName, "client_id": backendName,
		"snapshot": backendFlag, "use_azuread_auth": backendFlag, "use_cli": backendFlag, "use_msi": backendFlag, "use_oidc": backendFlag},
	"gcs":   {"bucket": backendName, "prefix": backendPath, "kms_encryption_key": backendPath},
	"local": {},
}

// backendArgument checks an argument of a backend.
func (l *loader) backendArgument(where, backend string, m member) bool {
	allowed := backendArguments[backend]
	shape, known := allowed[m.name]
	switch {
	case !known && len(allowed) == 0:
		l.add(where, "is not taken from a project folder; a backend of the type local has no arguments here, its state lies in %s", WorkFolder)
	case !known:
		l.add(where, "is not taken from a project folder, where it could name a credential, a file or another server; want %s, and the rest in your environment",
			strings.Join(slices.Sorted(maps.Keys(allowed)), ", "))
	case jsontext.KindOf(m.value) == jsontext.Null:
	case !shape.Match(m.value) || strings.Contains(string(m.value), ".."):
		want := map[*regexp.Regexp]string{backendFlag: "true or false", backendPath: "letters, digits and . _ / : ( ) - in quotes", backendName: "letters, digits and . _ ( ) - in quotes"}
		l.add(where, "is %s; want %s", short(m.value), want[shape])
	default:
		return true
	}
	return false
}

func (l *loader) backends(where string, raw json.RawMessage) map[Cloud]Backend {
	all := map[Cloud]Backend{}
	one := func(cloud Cloud) func(string, json.RawMessage) {
		return func(where string, raw json.RawMessage) {
			b := Backend{Config: map[string]json.RawMessage{}}
			types := []string{"s3", "azurerm", "gcs", "local"}
			typeSeen := false
			var arguments object
			l.fields(where, raw,
				field{"type", func(where string, raw json.RawMessage) {
					typeSeen = true
					text, ok := l.text(where, raw)
					if ok && !slices.Contains(types, text) {
						l.add(where, "%w", notOneOf(text, "backend that is known here", types...))
						return
					}
					b.Type = text
				}},
				field{"config", func(where string, raw json.RawMessage) { arguments, _ = l.object(where, raw) }})
			for _, m := range arguments {
				if where := below(where+".config", m.name); b.Type == "" || l.backendArgument(where, b.Type, m) {
					b.Config[m.name] = m.value
				}
			}
			if !typeSeen && jsontext.KindOf(raw) == jsontext.Object {
				l.add(where+".type", "is missing; want one of %s", strings.Join(types, ", "))
			}
			all[cloud] = b
		}
	}
	l.fields(where, raw, field{"aws", one(AWS)}, field{"azure", one(Azure)}, field{"gcp", one(GCP)})
	return all
}
