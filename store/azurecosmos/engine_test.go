//go:build engines

package azurecosmos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"hotreader"
	"hotreader/store/azurecosmos"
	"hotreader/store/storetest"
	"hotreader/test/engine"
)

// Each check gets a container of its own in the one database.
var containers atomic.Int64

func client(t testing.TB) *azurecosmos.Client {
	t.Helper()
	c, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: engine.Cosmos(t), Key: engine.CosmosKey})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// options name a new container. The emulator has no transactional batches.
func options(format string) azurecosmos.Options {
	return azurecosmos.Options{
		Database:   "conformance",
		Container:  "container-" + strconv.FormatInt(containers.Add(1), 10),
		TimeFormat: format,
		Single:     true,
	}
}

func open(t testing.TB, o azurecosmos.Options) *azurecosmos.Store {
	t.Helper()
	c := client(t)
	if err := azurecosmos.CreateContainer(t.Context(), c, o); err != nil {
		t.Fatal(err)
	}
	return azurecosmos.New(c, o)
}

// put stores an item as another program would, past our client.
func put(t testing.TB, o azurecosmos.Options, device, timeText string, fields ...hotreader.Field) {
	t.Helper()
	item := map[string]any{"id": device + "_" + timeText, "device_id": device, "timestamp": timeText}
	for _, f := range fields {
		switch f.Value.Kind() {
		case hotreader.Number:
			item[f.Name] = json.Number(f.Value.Text())
		case hotreader.String:
			item[f.Name] = string(f.Value.Text())
		case hotreader.Bool:
			item[f.Name] = f.Value.Bool()
		}
	}
	body, err := json.Marshal(item)
	if err != nil {
		t.Fatal(err)
	}
	partition, err := json.Marshal([]string{device})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("%s/dbs/%s/colls/%s/docs", engine.Cosmos(t), o.Database, o.Container), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-ms-documentdb-is-upsert", "True")
	r.Header.Set("x-ms-documentdb-partitionkey", string(partition))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode > 299 {
		t.Fatalf("%s: %s, %v", resp.Status, said, err)
	}
}

func harness(pageItems int) storetest.Harness {
	var last azurecosmos.Options
	h := storetest.Harness{
		RewritesNumbers:   true,
		WideNumbersAsText: true,
		New: func(t testing.TB) (hotreader.Reader, hotreader.Writer) {
			last = options(azurecosmos.ISO8601)
			last.PageItems = pageItems
			s := open(t, last)
			return s, s
		},
	}
	h.PutRaw = func(t testing.TB, device, timeText string, fields ...hotreader.Field) {
		put(t, last, device, timeText, fields...)
	}
	return h
}

func TestConformance(t *testing.T) { storetest.Run(t, harness(5000)) }
