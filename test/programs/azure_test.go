package programs

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotreader/config"
	"hotreader/test/serving"
)

// app is a function app as its files describe it.
type app struct {
	Host struct {
		Version       string
		CustomHandler struct {
			Description struct{ DefaultExecutablePath string }
			Forward     bool `json:"enableForwardingHttpRequest"`
		}
		Extensions struct{ HTTP struct{ RoutePrefix *string } }
	}
	routes map[string]string // function -> route
}

func readApp(t *testing.T) *app {
	t.Helper()
	decode := func(file string, into any) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	a := &app{routes: map[string]string{}}
	decode("../../cmd/hotreader-azure/app/host.json", &a.Host)
	files, err := filepath.Glob("../../cmd/hotreader-azure/app/*/function.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var f struct {
			Bindings []struct {
				Type, Direction, Name, AuthLevel, Route string
				Methods                                 []string
			}
		}
		decode(file, &f)
		if len(f.Bindings) != 2 {
			t.Fatalf("%s has %d bindings", file, len(f.Bindings))
		}
		in, out := f.Bindings[0], f.Bindings[1]
		if in.Type != "httpTrigger" || in.Direction != "in" || in.Name != "req" || in.AuthLevel != "anonymous" ||
			out.Type != "http" || out.Direction != "out" || out.Name != "res" {
			t.Errorf("%s: %+v", file, f.Bindings)
		}
		a.routes[filepath.Base(filepath.Dir(file))] = in.Route
	}
	return a
}

func TestAzureApp(t *testing.T) {
	t.Parallel()
	a := readApp(t)
	if a.Host.Version != "2.0" || !a.Host.CustomHandler.Forward || a.Host.CustomHandler.Description.DefaultExecutablePath != "hotreader-azure" ||
		a.Host.Extensions.HTTP.RoutePrefix == nil || *a.Host.Extensions.HTTP.RoutePrefix != "" {
		t.Errorf("%+v", a.Host)
	}
	want := map[string]string{string(config.History): "v1/devices/{id}/history", string(config.LastEntry): "v1/devices/{id}/latest", string(config.API): "{*path}"}
	if fmt.Sprint(a.routes) != fmt.Sprint(want) {
		t.Errorf("routes %v", a.routes)
	}
}

// What the Functions host would post, were requests not forwarded, comes from a
// stranger here: it is refused as any other request without a token is, at once and
// unread, and with one there is nothing at such a path.
func TestDocumentsAreNoWayIn(t *testing.T) {
	t.Parallel()
	peer := serving.NewPeer(t, serving.Token)
	p, _ := azure.start(t, azure.twin(peer))
	for _, role := range []config.Role{config.History, config.LastEntry, config.API} {
		const inner = `{"Data":{"req":{"Url":"http://x/v1/devices/d/latest?property=temperature","Method":"GET","Headers":{"Authorization":["Bearer ` + serving.Token + `"],"X-Forwarded-For":["192.0.2.1"]}}},"Metadata":{}}`
		for _, c := range []struct {
			token string
			want  int
		}{{"", 401}, {serving.Rotated, 401}, {serving.Token, 404}} {
			if a := p.Ask(t, "POST", "/"+string(role), inner, c.token, "Content-Type", "application/json"); a.Status != c.want || strings.Contains(a.Body, "Outputs") {
				t.Errorf("%s: %d %s", role, a.Status, a.Body)
			}
		}
		c, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = fmt.Fprintf(c, "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", role)
		answer := make([]byte, 12)
		if _, rerr := io.ReadFull(c, answer); err != nil || rerr != nil || string(answer) != "HTTP/1.1 401" {
			t.Errorf("%s, the body on its way: %q %v %v", role, answer, err, rerr)
		}
		_ = c.Close()
	}
	if peer.Calls.Load() != 0 {
		t.Error("the peer was asked")
	}
}

// Only this machine reaches the handler.
func TestListensOnLoopback(t *testing.T) {
	t.Parallel()
	p, _ := azure.start(t, azure.here())
	_, port, _ := strings.Cut(strings.TrimPrefix(p.URL, "http://"), ":")
	for _, other := range []string{"127.0.0.2", "[::1]"} { // with ":port" they would be reached
		if resp, err := http.Get("http://" + other + ":" + port + "/healthz"); err == nil {
			_ = resp.Body.Close()
			t.Errorf("it is reached at %s", other)
		}
	}
}
