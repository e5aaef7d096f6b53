package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"hotreader/identity"
	"hotreader/layout"
)

// NoTwinMaker is the endpoint of TwinMaker where there is none, on the local target.
const NoTwinMaker = "http://127.0.0.1:9"

// Settings are what a project says of all its functions: keys of
// config_hot_reader.json that deploy hands on as variables. The zero value of
// each field means a default.
type Settings struct {
	Layout   layout.Layout    // of what hot storage holds; its collection is where the store's name is
	Rate     float64          // requests a second and token; 0 = the server's default
	Burst    int              // 0 = the server's default
	LookBack int              // stored rows that a query for latest values looks at; 0 = hotreader.LookBack
	MaxRows  int              // stored rows that a query may look at; 0 = the store's default
	Cache    CacheSize        // of what was read
	Settle   Span             // what is newer is always read anew; 0 = 30 s
	CacheAge Span             // what was read longer ago is read anew; 0 = a day
	Devices  identity.Devices // that may be read; none = all
	LogLevel LogLevel         // "" = info
}

// LogLevel is debug, info, warn or error. "" is info.
type LogLevel string

// Level implements slog.Leveler.
func (l LogLevel) Level() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l)) // else it is info
	return level
}

// Reach says which functions have a use for a variable.
type Reach uint8

// The functions that read a store, and those that are served over HTTP.
const (
	Stores Reach = 1 << iota
	Served
)

// Key is one thing that can be configured: by a key of config_hot_reader.json, by
// a variable of the functions' environment, or by both. The tables of the docs
// are made of Keys (Markdown).
type Key struct {
	Name     string // in config_hot_reader.json; aws.table is table within aws; "" = a variable alone
	Variable string // "" = no function reads it
	Help     string // in Markdown; links are those of a page at the root

	Reach Reach // of the functions that have a use for the variable; 0 = all
	Cloud Cloud // whose functions read the variable; "" = all three

	// Module says that the module of the cloud that Name begins with has an argument of
	// the rest of the name, and gets the value as it is (Arguments).
	Module bool

	rule  rule               // nil: environment.go checks the variable beside others
	at    func(*Options) any // where the value is kept, as rule has it
	needs string             // another key that must be there with this one
	want  string             // of that key
}

// Keys are all keys and variables, in the order in which they are read.
var Keys = []Key{
	{Variable: "_HANDLER", Cloud: AWS, Help: "`hot-reader`, `hot-reader-last-entry` or `hot-reader-api`; set by Lambda"},
	{Variable: "DIGITAL_TWIN_INFO", Help: "the twin's name and the clouds of its layers: `" + `{"config":{"digital_twin_name":"pump"},"config_providers":{"layer_3_hot_provider":"azure","layer_4_provider":"aws"}}` + "`; an API over its own store needs none"},
	{Variable: "REMOTE_READER_URL", Help: "the Hot Reader API in L3's cloud, for readers; needed if and only if the two providers differ. https (http to loopback only)"},
	{Variable: "REMOTE_COLD_READER_URL", Help: "the Hot Reader API in the cloud of [cold storage](history.md), where that is neither this function's nor hot storage's; the same rules and token as `REMOTE_READER_URL`"},
	{Variable: "REMOTE_ARCHIVE_READER_URL", Help: "the same of the archive, where that is on a cloud of its own"},
	{Variable: "HOTREADER_COLD", Help: "[cold storage](history.md) on this cloud, a store URL: `s3://BUCKET/PREFIX`, `azblob://ACCOUNT/CONTAINER/PREFIX`, `gs://BUCKET/PREFIX`; not read if it is not set"},
	{Variable: "HOTREADER_ARCHIVE", Help: "the archive on this cloud, likewise"},
	{Variable: "INTER_CLOUD_TOKEN", Help: "the shared secret, 32 bytes or more, for the API, remote readers, and all on Azure and Google Cloud; where it is checked: `current,previous` while it is rotated"},
	{Variable: "INTER_CLOUD_TOKEN_SECRET", Help: "instead of `INTER_CLOUD_TOKEN`, what holds it: the ARN of a Secrets Manager secret, the URI of a Key Vault secret, a Secret Manager version (`projects/P/secrets/S/versions/latest`). Its value is the token as text, or JSON of keys and values with the token under `token`, `INTER_CLOUD_TOKEN`, `value` or `current`; fetched at start, and again, at most each 5 minutes, when a token is rejected"},
	{Variable: "HOTREADER_TRUST", Help: "[the callers of an API](security.md#several-callers), beside or instead of callers with the token: `" + `[{"name":"hall","issuer":"https://…","audience":"…","subject":"…"},{"name":"grafana","token_secret":"…","devices":["pump-*"],"rate":5,"burst":10}]` + "`"},
	{Variable: "HOTREADER_PAGE_KEY_SECRET", Help: "what holds the key of page tokens, as `INTER_CLOUD_TOKEN_SECRET` holds the token: `current,previous` while it is rotated. Needed by an API without a token; else page tokens are signed with the token, which is taken in any case"},
	{Variable: "HOTREADER_IDENTITY", Help: "how a remote reader proves itself: `token` (default), or `federated`: [its cloud signs a token](security.md#federated-identity)"},
	{Variable: "HOTREADER_AUDIENCE", Help: "of such a token; as the API's `HOTREADER_TRUST` has it"},
	{Variable: "DYNAMODB_TABLE_NAME", Cloud: AWS, Help: "table with HASH `device_id` (S) and RANGE `timestamp`, or another [layout](layouts.md); its name or ARN"},
	{Variable: "AWS_REGION", Cloud: AWS, Help: "set by Lambda"},
	{Variable: "COSMOS_DB_ENDPOINT", Cloud: Azure, Help: "the account, as `https://ACCOUNT.documents.azure.com`"},
	{Variable: "COSMOS_DB_DATABASE", Cloud: Azure, Help: "its database"},
	{Variable: "COSMOS_DB_CONTAINER", Cloud: Azure, Help: "the container, partitioned by `/device_id` or as the [layout](layouts.md) says"},
	{Variable: "COSMOS_DB_KEY", Cloud: Azure, Help: "a key of the account; signed in by managed identity without it"},
	{Variable: "GOOGLE_CLOUD_PROJECT", Cloud: GCP, Help: "the project; needed unless hot storage is remote"},
	{Variable: "FIRESTORE_COLLECTION", Cloud: GCP, Help: "the collection, with composite indexes device ascending, time ascending and descending; or its path, as `devices/{device}/telemetry`"},
	{Variable: "FIRESTORE_DATABASE", Cloud: GCP, Help: "its database; `(default)` if it is not set"},

	{Name: "aws.region", Help: "the region; else that of the environment", rule: awsRegion, at: func(o *Options) any { return &o.AWS.Region }},
	{Name: "aws.table", Help: "a hot table that exists, its name or ARN", rule: awsTable, at: func(o *Options) any { return &o.AWS.Table }},
	{Name: "aws.workspace", Help: "a TwinMaker workspace that exists; `aws.workspace_role` goes with it", rule: awsWorkspace, at: func(o *Options) any { return &o.AWS.Workspace },
		needs: "aws.workspace_role", want: "the ARN of that workspace's role, which has to be allowed to call the functions"},
	{Name: "aws.workspace_role", Help: "the ARN of that workspace's role", rule: awsRole, at: func(o *Options) any { return &o.AWS.WorkspaceRole },
		needs: "aws.workspace", want: "the id of the existing workspace whose role that is"},
	{Name: "aws.api_key", Help: "`true`: an API key for the GET routes", Module: true, rule: boolean{}, at: func(o *Options) any { return &o.AWS.APIKey }},
	{Name: "aws.account_log_role", Help: "`true`: the account's log role for API Gateway", Module: true, rule: boolean{}, at: func(o *Options) any { return &o.AWS.AccountLogRole }},
	{Name: "aws.reserved_concurrency", Help: "requests that each function takes at once at most, and that the account keeps free for it; else all functions of the account share its limit. AWS keeps 100 for the others", Module: true, rule: whole{1, 10000, ""}, at: func(o *Options) any { return &o.AWS.ReservedConcurrency }},
	{Name: "aws.waf", Help: "`true`: a [web ACL](security.md#strangers) before the API, which has a [price](cost.md#options-of-the-modules)", Module: true, rule: boolean{}, at: func(o *Options) any { return &o.AWS.WAF }},
	{Name: "aws.allowed_ips", Help: "the networks that alone may call the API, as `[\"192.0.2.0/24\"]`; all if it is not set", Module: true, rule: networks{}, at: func(o *Options) any { return &o.AWS.AllowedIPs }},
	{Name: "aws.kms_key", Help: "the ARN of a [KMS key of yours](security.md#keys-of-your-own) for the table, the secret and the logs that are made", Module: true, rule: awsKey, at: func(o *Options) any { return &o.AWS.KMSKey }},
	{Name: "azure.subscription", Help: "the subscription; else the signed-in one", rule: subscription, at: func(o *Options) any { return &o.Azure.Subscription }},
	{Name: "azure.location", Help: "the location", Module: true, rule: azureLocation, at: func(o *Options) any { return &o.Azure.Location }},
	{Name: "azure.resource_group", Help: "a resource group that exists", rule: azureGroup, at: func(o *Options) any { return &o.Azure.ResourceGroup }},
	{Name: "azure.cosmos_account", Help: "a Cosmos DB account that exists in that group", rule: azureAccount, at: func(o *Options) any { return &o.Azure.CosmosAccount },
		needs: "azure.resource_group", want: "the resource group that the existing account is in"},
	{Name: "azure.database", Help: "a database that exists in that account", rule: azureID, at: func(o *Options) any { return &o.Azure.Database },
		needs: "azure.cosmos_account", want: "the existing account that the database is in"},
	{Name: "azure.container", Help: "a container that exists in that database", rule: azureID, at: func(o *Options) any { return &o.Azure.Container },
		needs: "azure.database", want: "the existing database that the container is in"},
	{Name: "azure.audience", Help: "with `identity`, where the twin is on Azure: the [app registration](security.md#federated-identity) that tokens are issued for, its Application ID URI, or its client ID if it asks for tokens of version 2", rule: claim, at: func(o *Options) any { return &o.Azure.Audience }},
	{Name: "azure.max_instances", Help: "instances of the app at most; 40 if it is not set", Module: true, rule: whole{1, 1000, ""}, at: func(o *Options) any { return &o.Azure.MaxInstances }},
	{Name: "azure.allowed_ips", Help: "the networks that alone may call the app, as `[\"192.0.2.0/24\"]`; all if it is not set", Module: true, rule: networks{}, at: func(o *Options) any { return &o.Azure.AllowedIPs }},
	{Name: "azure.purgeable", Help: "`true`: [destroy purges the vault](security.md#what-protects-what), whose name is free at once; else the vault waits seven days, and the next deployment takes it back. A vault that was made without this cannot get it", Module: true, rule: boolean{}, at: func(o *Options) any { return &o.Azure.Purgeable }},
	{Name: "azure.vault_key", Help: "the URL, without a version, of a [Key Vault key of yours](security.md#keys-of-your-own) for the Cosmos DB account and the storage that are made", Module: true, rule: azureKey, at: func(o *Options) any { return &o.Azure.VaultKey },
		needs: "azure.vault_key_identity", want: "the ID of the managed identity that may use the key"},
	{Name: "azure.vault_key_identity", Help: "the ID of the managed identity that may use that key", Module: true, rule: azureIdentity, at: func(o *Options) any { return &o.Azure.VaultKeyIdentity },
		needs: "azure.vault_key", want: "the URL of the key that the identity is for"},
	{Name: "gcp.project", Help: "the project; else the signed-in one", rule: gcpProject, at: func(o *Options) any { return &o.GCP.Project }},
	{Name: "gcp.region", Help: "the region", rule: gcpRegion, at: func(o *Options) any { return &o.GCP.Region }},
	{Name: "gcp.database", Help: "a database that exists", rule: gcpDatabase, at: func(o *Options) any { return &o.GCP.Database }},
	{Name: "gcp.collection", Help: "a collection that exists, its id or path, as `devices/{device}/telemetry`", rule: collection{}, at: func(o *Options) any { return &o.GCP.Collection }},
	{Name: "gcp.max_instances", Help: "instances of the service at most; 10 if it is not set", Module: true, rule: whole{1, 1000, ""}, at: func(o *Options) any { return &o.GCP.MaxInstances }},
	{Name: "gcp.kms_key", Help: "a [Cloud KMS key of yours](security.md#keys-of-your-own) in the region, for the database, the secret, the image and the service that are made", Module: true, rule: gcpKey, at: func(o *Options) any { return &o.GCP.KMSKey }},

	{Name: "cold", Help: "where [cold storage](history.md) lies, on the cloud that `layer_3_cold_provider` names: `" + `{"bucket":"twin-cold","prefix":"telemetry/","format":"mover"}` + "`, on Azure `account` and `container` for the bucket, and `resource_group` where it is not the twin's; prefix and format may be missing. It is never written or deleted", rule: objects{}, at: func(o *Options) any { return &o.Cold }},
	{Name: "archive", Help: "where the archive lies, on the cloud that `layer_3_archive_provider` names, likewise", rule: objects{}, at: func(o *Options) any { return &o.Archive }},

	{Name: "layout", Variable: "HOTREADER_LAYOUT", Reach: Stores, Help: "how the items are laid out, if not as hotreader does it: [a JSON object](layouts.md), as `" + `{"time_key":"payload.ts","properties":"payload"}` + "`",
		rule: laid{}, at: func(o *Options) any { return &o.Layout }},
	{Name: "device_key", Variable: "HOTREADER_DEVICE_KEY", Reach: Stores, Help: "the layout's `device_key` alone, `device_id` if it is not set",
		rule: attribute{}, at: func(o *Options) any { return &o.older.DeviceKey }},
	{Name: "time_key", Variable: "HOTREADER_TIME_KEY", Reach: Stores, Help: "the layout's `time_key` alone, `timestamp` if it is not set",
		rule: attribute{}, at: func(o *Options) any { return &o.older.TimeKey }},
	{Name: "time_format", Variable: "HOTREADER_TIME_FORMAT", Reach: Stores, Help: "the layout's `time_format` alone, `iso8601` if it is not set",
		rule: format{}, at: func(o *Options) any { return &o.older.TimeFormat }},
	{Name: "look_back", Variable: "HOTREADER_LOOK_BACK", Help: "how many of a device's records a query for latest values looks at, from the newest on; 1 to 1,000,000, 1,000 if it is not set. Where that ends the search, the answer says so. Each record is read and paid for",
		rule: whole{1, 1_000_000, "records to look at, as 1000"}, at: func(o *Options) any { return &o.LookBack }},
	{Name: "max_rows", Variable: "HOTREADER_MAX_ROWS", Help: "how many stored rows a query may look at; 5,000,000 if it is not set, of Firestore, which bills each, 500,000. A query that needs more fails with `too_large`, and says how many rows its range has and what they [cost](cost.md)",
		rule: whole{1, 1_000_000_000, "rows to look at, as 5000000"}, at: func(o *Options) any { return &o.MaxRows }},
	{Name: "cache", Variable: "HOTREADER_CACHE", Help: "bytes of memory for a [cache](reliability.md#the-cache) of what was read; `0` = none. 67108864 if it is not set, on Lambda none",
		rule: cacheSize{}, at: func(o *Options) any { return &o.Cache }},
	{Name: "settle", Variable: "HOTREADER_SETTLE", Help: "how long rows may arrive late as a rule, as `2m`: the cache never answers with what is newer; `30s` if it is not set",
		rule: span{time.Second, 24 * time.Hour}, at: func(o *Options) any { return &o.Settle }},
	{Name: "cache_age", Variable: "HOTREADER_CACHE_AGE", Help: "how old an answer from the cache may be at most, as `1h`; `24h` if it is not set",
		rule: span{time.Second, 30 * 24 * time.Hour}, at: func(o *Options) any { return &o.CacheAge }},
	{Name: "rate", Variable: "HOTREADER_RATE", Reach: Served, Help: "requests a second, by token", rule: rate{}, at: func(o *Options) any { return &o.Rate }},
	{Name: "burst", Variable: "HOTREADER_BURST", Reach: Served, Help: "requests at once, by token",
		rule: whole{1, 1_000_000, "the requests that may come at once, as 100"}, at: func(o *Options) any { return &o.Burst }},
	{Name: "identity", Help: "how the twin's functions prove themselves to the API on another cloud: `token` (default), the shared one, or `federated`: [their own cloud signs a token](security.md#federated-identity). On one cloud there is nothing to prove", rule: identities, at: func(o *Options) any { return &o.Identity }},
	{Name: "callers", Help: "[the callers of the APIs](security.md#several-callers) beside the twin's own functions and callers with the token, as `HOTREADER_TRUST` has it: `" + `[{"name":"grafana","token_secret":"projects/P/secrets/S/versions/latest","devices":["pump-*"],"rate":5,"burst":10}]` + "`. The functions get the permission to read each `token_secret`", rule: callers{}, at: func(o *Options) any { return &o.Callers }},
	{Name: "memory_mb", Help: "memory of a function", rule: whole{128, 10240, ""}, at: func(o *Options) any { return &o.MemoryMB }},
	{Name: "log_days", Help: "how long the functions' logs are kept", rule: retention{whole{1, 3653, ""}}, at: func(o *Options) any { return &o.LogDays }},
	{Name: "log_level", Variable: "HOTREADER_LOG_LEVEL", Help: "`debug`, `info` (default), `warn`, `error`",
		rule: words{"log level", []string{"debug", "info", "warn", "error"}}, at: func(o *Options) any { return (*string)(&o.LogLevel) }},
	{Name: "devices", Variable: "HOTREADER_DEVICES", Help: "the devices that may be read, ids and ID prefixes: `pump-7,valve-*`, a list of texts in the file; all if it is not set. Any other is rejected with 403, whether it exists or not ([security](security.md#the-list-of-devices))",
		rule: readable{}, at: func(o *Options) any { return &o.Devices }},
	{Name: "otel", Help: "[OpenTelemetry's variables](observability.md#turning-it-on) for all functions, as `" + `{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com"}` + "`; no `_HEADERS`",
		rule: otel{}, at: func(o *Options) any { return &o.OTel }},
	{Name: "backend", Help: "where Terraform keeps the state of a cloud, as `" + `{"aws": {"type": "s3", "config": {…}}}` + "`. It says where the state lies" + backendHelp() + ". A profile, a role, credentials and other servers come from your environment",
		rule: backends{}, at: func(o *Options) any { return &o.Backend }},

	{Variable: "HOTREADER_CATALOG", Help: "a file with the packed [catalogue of devices](deploying.md#the-catalogue-of-devices); if it is not set, `hotreader-catalog` beside the program, where deploy puts it, if it is there"},
	{Variable: "FUNCTIONS_CUSTOMHANDLER_PORT", Cloud: Azure, Help: "the port to listen on; set by the platform"},
	{Variable: "PORT", Cloud: GCP, Help: "the port to listen on; set by the platform"},
	{Variable: "HOTREADER_HOST", Cloud: GCP, Help: "the address to listen on, all if it is not set; `deploy --target local` sets `127.0.0.1`"},
	{Variable: "AWS_ENDPOINT_URL", Cloud: AWS, Help: "other endpoints, also `_DYNAMODB`, `_SECRETS_MANAGER`, `_IOTTWINMAKER` and `_STS`, for emulators; http to loopback only"},
	{Variable: "FIRESTORE_EMULATOR_HOST", Cloud: GCP, Help: "the emulator, as `127.0.0.1:8080`; loopback only"},
	{Variable: "SECRET_MANAGER_EMULATOR_HOST", Cloud: GCP, Help: "that of Secret Manager, as well"},
}

// Variables returns what s is as variables of a function that is of reach. What
// is not set is not among them.
func (s Settings) Variables(reach Reach) map[string]string {
	o, env := &Options{Settings: s}, map[string]string{}
	if older := olderPart(s.Layout); reflect.DeepEqual(s.Layout, older) {
		o.Layout, o.older = layout.Layout{}, older
	}
	for _, k := range Keys {
		if k.Name == "" || k.Variable == "" || k.Reach != 0 && k.Reach&reach == 0 {
			continue
		}
		at := reflect.ValueOf(k.at(o)).Elem()
		if at.IsZero() {
			continue
		}
		switch value := at.Interface().(type) {
		case identity.Devices:
			env[k.Variable] = strings.Join(value, ",")
		case layout.Formats:
			env[k.Variable] = value[0] // olderPart has one
		case layout.Layout:
			env[k.Variable] = layoutText(value)
		default:
			env[k.Variable] = fmt.Sprint(at)
		}
	}
	return env
}

// Arguments returns the arguments of a cloud's module that o gives as they are.
// What is not set is not among them.
func (o *Options) Arguments(cloud Cloud) map[string]any {
	all := map[string]any{}
	for _, k := range Keys {
		name, ok := strings.CutPrefix(k.Name, string(cloud)+".")
		if !ok || !k.Module {
			continue
		}
		if at := reflect.ValueOf(k.at(o)).Elem(); !at.IsZero() {
			all[name] = at.Interface()
		}
	}
	return all
}
