package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/store/boltstore"
	"hotreader/test/slowtable"
)

// folder writes a twin's project folder.
func folder(t *testing.T, hot, twin string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"config.json":             `{"digital_twin_name":"hall","hot_storage_size_in_days":30}`,
		"config_providers.json":   `{"layer_3_hot_provider":"` + hot + `","layer_4_provider":"` + twin + `"}`,
		"config_hot_reader.json":  `{"devices":["d","e","f"],"aws":{"region":"eu-central-1"}}`,
		"config_iot_devices.json": `[{"id":"d","type":"pump","properties":[{"name":"temperature","dataType":"DOUBLE"}]},{"id":"e","type":"pump","properties":[{"name":"temperature","dataType":"DOUBLE"}]},{"id":"f","properties":[{"name":"temperature","dataType":"DOUBLE"}]}]`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ask returns the answer to a request as Grafana sends it.
func ask(t *testing.T, url, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("grafana", token)
	r.Header.Set("X-Inter-Cloud-Token", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// One server answers for all devices of a twin: over the table where all of it is on AWS,
// over the connection, with its token, where its clouds are two. Another server in front
// of it lists its devices.
func TestServeProject(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	t.Setenv(tokenVariable, oldToken)
	table := httptest.NewServer(slowtable.New(3, 400))
	defer table.Close()
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", table.URL)
	serve := func(args ...string) string {
		return serveURL(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--log-level", "error"}, args...)...)
	}
	alone := serve("--project", folder(t, "aws", "aws"))

	linked := folder(t, "aws", "azure")
	var talk bytes.Buffer
	if code := run(t.Context(), []string{"serve", "--project", linked, "--listen", "127.0.0.1:0"}, nil, io.Discard, &talk); code != 3 ||
		!strings.Contains(talk.String(), "config_inter_cloud.json has no URL of azure_l4_to_aws_l3hot_read yet; deploy first: hotreader deploy --project "+linked) {
		t.Errorf("before it is deployed: %d, %s", code, talk.String())
	}
	all, err := config.OpenConnections(linked)
	if err != nil {
		t.Fatal(err)
	}
	put := func(token string) {
		all.Put(config.ConnectionID(config.Azure, config.AWS), config.Connection{Provider: config.AWS, URL: alone, Token: config.NewSecret(token)})
		if err := all.Save(); err != nil {
			t.Fatal(err)
		}
	}
	put(oldToken)
	synctest.Test(t, func(t *testing.T) { // a rotation
		twin, err := openTwin(linked)
		if err != nil {
			t.Fatal(err)
		}
		if err := twin.place(t.Context(), &serving{}); err != nil || twin.peer.Current() != oldToken {
			t.Fatal(err)
		}
		put(newToken)
		time.Sleep(6 * time.Minute)
		if changed, err := twin.peer.Refresh(t.Context()); !changed || err != nil || twin.peer.Current() != newToken {
			t.Errorf("the connection's token is not read again: %v", err)
		}
	})
	put(oldToken)
	t.Setenv(tokenVariable, newToken) // the connection's is another
	over := serve("--project", linked)
	t.Setenv("HOTREADER_DEVICES", "d")
	narrow := serve("--project", linked)
	t.Setenv("HOTREADER_DEVICES", "d,e,f")
	front := serve("--remote", over)

	const query = "/api/v1/query?query=temperature&time=1706745602" // the second of the last row
	series := func(device, twin string) string {
		return `{"metric":{"__name__":"temperature","device":"` + device + `"` + twin + `},"value":[1706745602,"`
	}
	for _, c := range []struct {
		name, url, token, path string
		want, not              []string
	}{
		{"the table", alone, oldToken, query, []string{series("d", `,"twin":"hall","type":"pump"`), series("e", `,"twin":"hall","type":"pump"`)}, nil},
		{"the connection", over, newToken, query, []string{series("d", `,"twin":"hall","type":"pump"`), series("e", `,"twin":"hall","type":"pump"`)}, nil},
		{"the environment before the project", narrow, newToken, query, []string{series("d", `,"twin":"hall","type":"pump"`)}, []string{`"e"`}},
		{"another in front", front, newToken, query, []string{series("d", `,"type":"pump"`), series("e", `,"type":"pump"`)}, []string{"hall"}},
		{"the connection's token", over, oldToken, query, []string{`"error":"The token is missing or wrong."`}, []string{"metric"}},
		{"the project's setting", over, newToken, "/v1/devices/x/latest?property=temperature", []string{`"code":"forbidden"`}, nil},
		{"labels", front, newToken, "/api/v1/label/device/values", []string{`["d","e","f"]`}, nil},
	} {
		got := ask(t, c.url+c.path, c.token)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %.600s lacks %s", c.name, got, want)
			}
		}
		for _, not := range c.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: %.600s has %s", c.name, got, not)
			}
		}
	}
}

// Where a project has cold storage and an archive, they are read, too: over the
// connections to their clouds, each once where a cloud holds several tiers, or, where
// all is on AWS, from their buckets.
func TestServeProjectOfTiers(t *testing.T) {
	t.Setenv(tokenVariable, oldToken)
	place := func(tier, cloud string) string {
		switch cloud {
		case "":
			return ""
		case "azure":
			return `,"` + tier + `":{"account":"hallrows","container":"` + tier + `"}`
		}
		return `,"` + tier + `":{"bucket":"hall-` + tier + `","prefix":"rows/"}`
	}
	tiers := func(hot, cold, archive, twin string) string {
		dir := folder(t, hot, twin)
		for name, text := range map[string]string{
			"config_providers.json":  `{"layer_3_hot_provider":"` + hot + `","layer_3_cold_provider":"` + cold + `","layer_3_archive_provider":"` + archive + `","layer_4_provider":"` + twin + `"}`,
			"config_hot_reader.json": `{"aws":{"region":"eu-central-1"}` + place("cold", cold) + place("archive", archive) + `}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	connect := func(dir string, urls map[string]string) {
		all, err := config.OpenConnections(dir)
		if err != nil {
			t.Fatal(err)
		}
		for id, url := range urls {
			all.Put(id, config.Connection{Provider: config.Cloud(strings.Split(id, "_")[3]), URL: url, Token: config.NewSecret(oldToken)})
		}
		if err := all.Save(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		hot, cold, archive, twin string
		want                     [4]string // store, remote; cold's and the archive's place
	}{
		{"aws", "aws", "aws", "aws", [4]string{"dynamodb://hall-hot-iot-data?region=eu-central-1", "", "s3://hall-cold/rows/ ", "s3://hall-archive/rows/ "}},
		{"aws", "azure", "aws", "azure", [4]string{"", "https://azure_l4_to_aws_l3hot_read", " https://azure_l4_to_azure_l3cold_read", " https://azure_l4_to_aws_l3archive_read"}},
		{"azure", "azure", "google", "aws", [4]string{"", "https://aws_l4_to_azure_l3hot_read", " ", " https://aws_l4_to_gcp_l3archive_read"}},
	} {
		dir, urls := tiers(c.hot, c.cold, c.archive, c.twin), map[string]string{}
		for _, place := range c.want {
			if _, id, ok := strings.Cut(place, "https://"); ok {
				urls[id] = "https://" + id
			}
		}
		connect(dir, urls)
		twin, err := openTwin(dir)
		if err != nil {
			t.Fatal(err)
		}
		var s serving
		if err := twin.place(t.Context(), &s); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		got := [4]string{s.store, s.remote, s.tiers.cold.Store + " " + s.tiers.cold.Remote, s.tiers.archive.Store + " " + s.tiers.archive.Remote}
		if got != c.want {
			t.Errorf("%s, %s, %s for %s: %q, want %q", c.hot, c.cold, c.archive, c.twin, got, c.want)
		}
	}

	dir := t.TempDir()
	apis := map[string]string{}
	for i, id := range []string{"azure_l4_to_aws_l3hot_read", "azure_l4_to_gcp_l3cold_read"} {
		file := filepath.Join(dir, id)
		rows := []hotreader.Record{{Time: slowtable.Begin.Add(time.Duration(-i) * time.Hour), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.Int64Value(int64(40 + i))}}}}
		store, err := boltstore.Open(file, boltstore.Options{})
		if err == nil {
			err = errors.Join(store.Write(t.Context(), "d", rows), store.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		tier := []string{"--store", "bolt:" + file}
		if i > 0 {
			tier = append(tier, "--cold", "bolt:"+file)
		}
		apis[id] = serveURL(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--log-level", "error"}, tier...)...)
	}
	project := tiers("aws", "google", "", "azure")
	connect(project, apis)
	url := serveURL(t, "serve", "--project", project, "--listen", "127.0.0.1:0", "--log-level", "error")
	got := ask(t, url+"/v1/devices/d/history?property=temperature&start=2024-01-31T00:00:00Z&end=2024-02-02T00:00:00Z", oldToken)
	for _, want := range []string{"2024-01-31T23:00:00.000Z", "2024-02-01T00:00:00.000Z", "40", "41"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}
