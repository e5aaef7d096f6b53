package config

import (
	"strings"
	"testing"
)

// tiered is DIGITAL_TWIN_INFO with the clouds of hot, cold and archive storage, and of
// the twin; "" = not said.
func tiered(hot, cold, archive, twin string) string {
	return `{"config":{"digital_twin_name":"t","hot_storage_size_in_days":30},"config_providers":{"layer_3_hot_provider":"` + hot +
		`","layer_3_cold_provider":"` + cold + `","layer_3_archive_provider":"` + archive + `","layer_4_provider":"` + twin + `"}}`
}

// Where each tier is read follows from the clouds, the stores and the URLs.
func TestTierPlaces(t *testing.T) {
	const cold, far = "s3://b/p", "https://cold.example.com"
	server := map[string]string{"_HANDLER": "hot-reader-api", "AWS_REGION": "eu-central-1", "INTER_CLOUD_TOKEN": token}
	reader := with(local(), "INTER_CLOUD_TOKEN", token)
	azure := with(cosmos(), "COSMOS_DB_ENDPOINT", "", "COSMOS_DB_DATABASE", "", "COSMOS_DB_CONTAINER", "")
	for _, c := range []struct {
		name  string
		load  func(func(string) string) (*Function, error)
		env   map[string]string
		check func(*Function) bool
	}{
		{"none", Lambda, local(), func(f *Function) bool { return f.Cold == Place{} && f.Archive == Place{} && f.HotDays == 0 }},
		{"days", Lambda, with(local(), "DIGITAL_TWIN_INFO", tiered("aws", "azure", "", "aws")), func(f *Function) bool {
			return f.HotDays == 30 && f.Cold == Place{}
		}},
		{"all here", Lambda, with(local(), "HOTREADER_COLD", cold, "HOTREADER_ARCHIVE", "s3://a"), func(f *Function) bool {
			return f.Cold == Place{Store: cold} && f.Archive == Place{Store: "s3://a"} && !f.Remote
		}},
		{"cold on another cloud", Lambda, with(reader, "DIGITAL_TWIN_INFO", tiered("aws", "azure", "", "aws"), "REMOTE_COLD_READER_URL", far), func(f *Function) bool {
			return f.Cold == Place{Remote: far} && !f.Remote && f.ColdElsewhere
		}},
		{"here, even with a URL", Lambda, with(reader, "DIGITAL_TWIN_INFO", tiered("aws", "aws", "", "aws"), "HOTREADER_COLD", cold, "REMOTE_COLD_READER_URL", far), func(f *Function) bool {
			return f.Cold == Place{Store: cold}
		}},
		{"hot remote, cold here", Lambda, with(reader, "DYNAMODB_TABLE_NAME", "", "DIGITAL_TWIN_INFO", tiered("gcp", "aws", "", "aws"), "REMOTE_READER_URL", api, "HOTREADER_COLD", cold),
			func(f *Function) bool { return f.Remote && f.Cold == Place{Store: cold} }},
		{"an API for cold storage alone", Lambda, with(server, "DIGITAL_TWIN_INFO", tiered("azure", "aws", "", "gcp"), "HOTREADER_COLD", cold), func(f *Function) bool {
			return f.HotElsewhere && f.Table == "" && f.Cold == Place{Store: cold}
		}},
		{"the same on Azure", AzureFunctions, with(azure, "DIGITAL_TWIN_INFO", tiered("aws", "azure", "azure", "gcp"), "HOTREADER_COLD", "azblob://acc/c", "HOTREADER_ARCHIVE", "azblob://acc/a"),
			func(f *Function) bool { return f.HotElsewhere && !f.Remote && f.Archive.Store == "azblob://acc/a" }},
		{"an archive alone, after cold storage elsewhere", CloudRun, with(firestore(), "DIGITAL_TWIN_INFO", tiered("gcp", "aws", "gcp", "azure"), "HOTREADER_ARCHIVE", "gs://b"),
			func(f *Function) bool { return !f.HotElsewhere && f.ColdElsewhere && f.Archive.Store == "gs://b" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f, err := of(c.load, c.env); err != nil || !c.check(f) {
				t.Errorf("%+v, %v", f, err)
			}
		})
	}
	for name, c := range map[string]struct {
		env []string
		say string
	}{
		"both":                      {[]string{"HOTREADER_COLD", cold, "REMOTE_COLD_READER_URL", far}, "REMOTE_COLD_READER_URL: is set, and HOTREADER_COLD too"},
		"no provider":               {[]string{"REMOTE_ARCHIVE_READER_URL", far}, "config_providers.layer_3_archive_provider is missing"},
		"the provider is here":      {[]string{"DIGITAL_TWIN_INFO", tiered("aws", "aws", "", "aws"), "REMOTE_COLD_READER_URL", far}, "HOTREADER_COLD: is not set"},
		"another cloud's store":     {[]string{"HOTREADER_COLD", "gs://b"}, "HOTREADER_COLD: \"gs\" is not a store that this function reads; expected s3://"},
		"no token":                  {[]string{"INTER_CLOUD_TOKEN", "", "DIGITAL_TWIN_INFO", tiered("aws", "gcp", "", "aws"), "REMOTE_COLD_READER_URL", far}, "INTER_CLOUD_TOKEN: is not set"},
		"http":                      {[]string{"DIGITAL_TWIN_INFO", tiered("aws", "gcp", "", "aws"), "REMOTE_COLD_READER_URL", "http://cold.example.com"}, "REMOTE_COLD_READER_URL: is http"},
		"days that are no number":   {[]string{"DIGITAL_TWIN_INFO", strings.Replace(tiered("aws", "", "", "aws"), "30", `"soon"`, 1)}, "config.hot_storage_size_in_days is \"soon\""},
		"a provider that is none":   {[]string{"DIGITAL_TWIN_INFO", tiered("aws", "azur", "", "aws")}, "config_providers.layer_3_cold_provider"},
		"a table where hot is here": {[]string{"DYNAMODB_TABLE_NAME", "", "HOTREADER_COLD", cold}, "DYNAMODB_TABLE_NAME: is not set"},
	} {
		if _, err := load(with(reader, c.env...)); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want %q", name, err, c.say)
		}
	}
}

// A project names its lower tiers, each on its cloud.
func TestProjectTiers(t *testing.T) {
	files := goodProject()
	files["config_providers.json"] = `{"layer_3_hot_provider":"google","layer_3_cold_provider":"Azure","layer_3_archive_provider":"aws","layer_4_provider":"aws"}`
	for _, c := range []struct{ options, ids, says string }{
		{`{}`, "aws_l4_to_gcp_l3hot_read", ""},
		{`{"cold":{"account":"acc1","container":"cold","prefix":"a b/"}}`, "aws_l4_to_gcp_l3hot_read aws_l4_to_azure_l3cold_read=azblob://acc1/cold/a%20b/", ""},
		{`{"archive":{"bucket":"b.1","format":"Parquet"}}`, "aws_l4_to_gcp_l3hot_read aws_l4_to_aws_l3archive_read=s3://b.1?format=parquet", ""},
		{`{"cold":{"bucket":"bbb"}}`, "", "config_hot_reader.json: cold: does not fit layer_3_cold_provider, which is azure"},
		{`{"cold":{"account":"acc1"}}`, "", `config_hot_reader.json: cold: expected {"bucket":…}`},
		{`{"cold":{"account":"acc1","container":"cold","format":"csv"}}`, "", `config_hot_reader.json: cold.format: "csv" is no format`},
	} {
		files["config_hot_reader.json"] = c.options
		p, err := LoadProject(folder(t, files))
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", c.options, err, c.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.options, err)
			continue
		}
		var ids []string
		for _, tier := range p.Tiers() {
			id := tier.ConnectionID(p.L4)
			if tier.Objects != (Objects{}) {
				id += "=" + tier.URL(tier.Cloud)
			}
			ids = append(ids, id)
		}
		if got := strings.Join(ids, " "); got != c.ids {
			t.Errorf("%s: %s, want %s", c.options, got, c.ids)
		}
	}
}
