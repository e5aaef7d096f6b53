package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"hotreader/route"
)

// Place says where cold storage or the archive is read by a function; zero = it is not.
type Place struct {
	Store  string // its URL, on the cloud of the function
	Remote string // the URL of the API in its cloud
}

// bucketSchemes are what the URLs of each cloud's object storage begin with.
var bucketSchemes = map[Cloud]string{AWS: "s3", Azure: "azblob", GCP: "gs"}

// tiers reads where cold storage and the archive are.
func (e *env) tiers() {
	e.Cold = e.place("COLD", "layer_3_cold_provider", e.cold)
	e.Archive = e.place("ARCHIVE", "layer_3_archive_provider", e.archive)
	// An API may be here for the lower tiers alone.
	e.HotElsewhere = e.Role == API && e.L3 != "" && e.L3 != e.here && e.L4 != e.here && (e.Cold.Store != "" || e.Archive.Store != "")
}

// place reads where one tier is, which provider has.
func (e *env) place(tier, layer string, provider Cloud) (p Place) {
	store, remote := "HOTREADER_"+tier, "REMOTE_"+tier+"_READER_URL"
	at, far := e.trimmed(store), e.trimmed(remote)
	switch {
	case far == "" || provider == e.here && at != "": // the same provider: local, even with a URL
	case at != "":
		e.add(remote, "is set, and %s too; set %s if the tier is on this cloud, else %s", store, store, remote)
		return p
	case provider == "":
		e.add("DIGITAL_TWIN_INFO", "config_providers.%s is missing while %s is set; expected aws, azure, google or gcp, or unset %s", layer, remote, remote)
	case provider == e.here:
		e.add(store, "is not set, but config_providers.%s is %s, where this function runs; expected the store's URL, as %s", layer, provider, bucketForm(e.here))
	default:
		if wrong := route.CheckURL(far); wrong != "" {
			e.add(remote, "%s", wrong)
		}
		p.Remote = far
	}
	if scheme, _, _ := strings.Cut(at, ":"); at != "" && scheme != "file" && scheme != bucketSchemes[e.here] {
		e.add(store, "%.20q is not a store that this function reads; expected %s", scheme, bucketForm(e.here))
		return p
	}
	p.Store = at
	return p
}

// bucketForm is how the URL of a cloud's object storage is written.
func bucketForm(c Cloud) string {
	if c == Azure {
		return "azblob://ACCOUNT/CONTAINER/PREFIX"
	}
	return bucketSchemes[c] + "://BUCKET/PREFIX"
}

// days reads a number of days in DIGITAL_TWIN_INFO; 0 = not said.
func (e *env) days(field string, raw json.RawMessage) int {
	text := string(bytes.Trim(raw, `" `))
	if text == "" || text == "null" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		e.add("DIGITAL_TWIN_INFO", "config.%s is %.40q; expected a whole number of days, at least 1", field, text)
		return 0
	}
	return n
}

// Objects are a part of a bucket where a tier's files lie. The zero value is none.
type Objects struct {
	Bucket    string // on AWS and Google Cloud
	Account   string // on Azure
	Container string

	ResourceGroup string // of the account; "" = the project's

	Prefix string // of the keys
	Format string // "" = it is found out
}

// formats are what a tier's files may be.
var formats = words{"format", []string{"mover", "jsonl", "parquet", "export"}}

// URL returns the URL of the store on cloud c.
func (o Objects) URL(c Cloud) string {
	u := url.URL{Scheme: bucketSchemes[c], Host: cmp.Or(o.Bucket, o.Account)}
	u.Path = "/" + strings.TrimPrefix(strings.TrimPrefix(o.Container+"/"+o.Prefix, "/"), "/")
	if u.Path == "/" {
		u.Path = ""
	}
	if o.Format != "" {
		u.RawQuery = "format=" + o.Format
	}
	return u.String()
}

// objects is the rule of the keys cold and archive.
type objects struct{}

func (objects) read(l *loader, where string, raw json.RawMessage, to any) {
	o := to.(*Objects)
	l.fields(where, raw, l.objectFields(o)...)
	switch {
	case o.Bucket != "" && o.Account == "" && o.Container == "":
	case o.Bucket == "" && o.Account != "" && o.Container != "":
	default:
		l.add(where, `expected {"bucket":…} on AWS and Google Cloud, {"account":…,"container":…} on Azure`)
	}
}

func (l *loader) objectFields(o *Objects) []field {
	return []field{
		l.by("bucket", bucket, &o.Bucket), l.by("account", storageAccount, &o.Account), l.by("container", blobContainer, &o.Container),
		l.by("resource_group", azureGroup, &o.ResourceGroup), l.by("prefix", prefix, &o.Prefix), l.by("format", formats, &o.Format),
	}
}

// lower checks that each tier has a cloud, and is named as that cloud has it.
func (l *loader) lower() {
	for _, t := range []struct {
		key, layer string
		objects    Objects
		cloud      *Cloud
	}{
		{"cold", "layer_3_cold_provider", l.Options.Cold, &l.Cold},
		{"archive", "layer_3_archive_provider", l.Options.Archive, &l.Archive},
	} {
		switch {
		case t.objects == Objects{}:
			*t.cloud = "" // nothing says what is to be read there
		case *t.cloud == "":
			l.add(fileProviders+": "+t.layer, "is missing while %s names %s; expected aws, azure or google", fileOptions, t.key)
		case (*t.cloud == Azure) != (t.objects.Account != ""):
			l.add(fileOptions+": "+t.key, "does not fit %s, which is %s; expected %s", t.layer, *t.cloud, map[bool]string{true: `{"account":…,"container":…}`, false: `{"bucket":…}`}[*t.cloud == Azure])
		}
	}
}

// Tier is one of the places where a project's history lies.
type Tier struct {
	Name  string // hot, cold or archive
	Cloud Cloud
	Objects
}

// Tiers returns the places of the project's history, hot storage first.
func (p *Project) Tiers() []Tier {
	all := []Tier{{"hot", p.L3, Objects{}}, {"cold", p.Cold, p.Options.Cold}, {"archive", p.Archive, p.Options.Archive}}
	return slices.DeleteFunc(all, func(t Tier) bool { return t.Cloud == "" })
}

// ConnectionID is the id of the path from the twin's cloud to that of the tier.
func (t Tier) ConnectionID(l4 Cloud) string {
	return fmt.Sprintf("%s_l4_to_%s_l3%s_read", l4, t.Cloud, t.Name)
}
