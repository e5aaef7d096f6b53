//go:build engines

package page

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/boltstore"
	"hotreader/store/memstore"
	"hotreader/test/serving"
	"hotreader/web"
)

const (
	rows     = 20_000
	devices  = 253
	hostile  = `<img src=x onerror="alert(1)">'` + "\u202e"
	property = `"><script>alert(2)</script>, {{x}}`
)

var began = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// store is one that tests write.
type store interface {
	Write(ctx context.Context, device string, records []hotreader.Record) error
}

func number(name, format string, v any) hotreader.Field {
	return hotreader.Field{Name: name, Value: hotreader.NumberValue(fmt.Appendf(nil, format, v))}
}

// write writes so many rows, five seconds apart.
func write(t *testing.T, to store, device string, n int, fields func(i int) []hotreader.Field) {
	t.Helper()
	all := make([]hotreader.Record, n)
	for i := range all {
		all[i] = hotreader.Record{Time: began.Add(time.Duration(i) * 5 * time.Second), Fields: fields(i)}
	}
	if err := to.Write(t.Context(), device, all); err != nil {
		t.Fatal(err)
	}
}

// fill makes two pumps, a device that is hostile, and many small ones.
func fill(t *testing.T, file string) {
	t.Helper()
	to, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	for k, pump := range []string{"pump-7", "pump-8"} {
		write(t, to, pump, rows, func(i int) []hotreader.Field {
			return []hotreader.Field{number("temperature", "%.2f", 20+float64((i*7+k*500)%4000)/100), number("vibration", "%d", i%50),
				{Name: "running", Value: hotreader.BoolValue(i/2000%2 == 0)}, {Name: "state", Value: hotreader.StringValue([]byte([]string{"idle", "running"}[i/(3000-2999*k)%2]))}}
		})
	}
	write(t, to, hostile, 2, func(i int) []hotreader.Field {
		mixed := []hotreader.Value{hotreader.NumberValue([]byte("1")), hotreader.StringValue([]byte(hostile))}
		return []hotreader.Field{{Name: property, Value: mixed[i]}, {Name: "__proto__", Value: mixed[i]}}
	})
	for i := range devices - 3 {
		write(t, to, fmt.Sprintf("meter-%03d", i), 1, func(int) []hotreader.Field { return []hotreader.Field{number("level", "%d", i)} })
	}
	write(t, to, "meter-000", 30, func(i int) []hotreader.Field {
		if i == 10 {
			return []hotreader.Field{{Name: "level", Value: hotreader.StringValue([]byte("unavailable"))}}
		}
		return []hotreader.Field{number("level", "%d.18613328585307e-05", i)}
	})
}

// unlisted is where an API is that cannot list its devices.
func unlisted(t *testing.T) string {
	t.Helper()
	rows := memstore.New()
	write(t, rows, "pump-7", 1000, func(i int) []hotreader.Field {
		return []hotreader.Field{number("temperature", "%d", i%90), number("vibration", "%d", i%50)}
	})
	token, err := identity.Static(serving.Token)
	if err != nil {
		t.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Options{Source: struct{ hotreader.Source }{rows}, Token: token, Page: web.Serve})
	if err != nil {
		t.Fatal(err)
	}
	return serving.Listen(t, api)
}

// demo starts the demo and returns where its first cloud is.
func demo(t *testing.T) string {
	t.Helper()
	var told struct{ Clouds []struct{ URL string } }
	cmd := exec.CommandContext(t.Context(), serving.Program(t, "hotreader"), "demo", "--json", "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it is told to end
	if err := json.NewDecoder(out).Decode(&told); err != nil || len(told.Clouds) != 3 {
		t.Fatalf("%v: %v", told, err)
	}
	return told.Clouds[0].URL
}

// node runs a script that drives Chromium, and returns what it says.
func node(t *testing.T, script string, given map[string]any) []byte {
	t.Helper()
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("HOTREADER_CHROMIUM"), "chromium"))
	if err != nil {
		t.Fatal("no Chromium: make engines says how to install it, or name it in HOTREADER_CHROMIUM")
	}
	if given["modules"], err = filepath.Abs("../../.engines/page"); err != nil {
		t.Fatal(err)
	}
	given["chromium"] = chromium
	text, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "node", script, string(text)).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// Chromium opens the page of the real program, and a script does what people do.
func TestPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.db")
	fill(t, file)
	port := serving.Port(t)
	start := func(token string) *serving.Process {
		return serving.StartAt(t, port, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, "serve", "--store", "bolt:"+file, "--rate", "0").WaitReady(t)
	}
	server := start(serving.Token)
	steer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stop":
			server.Kill(t)
		case "/start":
			server = start(serving.Token)
		case "/rotate":
			server.Kill(t)
			server = start(serving.Rotated)
		}
	}
	out := node(t, "drive.mjs", map[string]any{
		"url": server.URL + "/", "unlisted": unlisted(t) + "/", "demo": demo(t) + "/", "control": serving.Listen(t, http.HandlerFunc(steer)) + "/",
		"token": serving.Token, "rotated": serving.Rotated, "devices": devices, "rows": rows, "span": ((rows - 1) * 5 * time.Second).Milliseconds(),
		"newest": fmt.Sprintf("%.2f", 20+float64((rows-1)*7%4000)/100), "first": "20.00", "operations": 8, "hostile": hostile, "hostileProperty": property,
	})
	t.Logf("%s", out)
	if n := bytes.Count(out, []byte("ok ")); n != 19 {
		t.Errorf("%d steps", n)
	}
}
