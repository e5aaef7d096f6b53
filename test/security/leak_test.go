package security

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/test/serving"
	"hotreader/wire"
)

// leaks names the forms in which secret stands in text.
func leaks(text, secret string) []string {
	var found []string
	look := func(form, what string) {
		if strings.Contains(text, what) {
			found = append(found, form)
		}
	}
	const window = 10 // a part of it is a leak, too
	for i := 0; i+window <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+window]) {
			found = append(found, "as it is, from byte "+strconv.Itoa(i))
			break
		}
	}
	look("hex", hex.EncodeToString([]byte(secret)))
	look("HEX", strings.ToUpper(hex.EncodeToString([]byte(secret))))
	look("query", url.QueryEscape(secret))
	look("path", url.PathEscape(secret))
	look("quoted", strings.Trim(strconv.Quote(secret), `"`))
	escaped, _ := json.Marshal(secret) // a string always can be
	look("JSON", strings.Trim(string(escaped), `"`))
	look("bytes", strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"))
	for shift := range 3 { // wherever it stands in what is encoded
		for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			whole := e.EncodeToString([]byte(strings.Repeat("x", shift) + secret + "xx"))
			look(name, whole[4:len(whole)-4])
		}
	}
	return found
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// TestLeaksAreSeen: the search finds what it is there to find.
func TestLeaksAreSeen(t *testing.T) {
	quoted, escaped := strconv.Quote(token), string(must(json.Marshal("x"+token)))
	for name, s := range map[string]string{
		"plain": "a " + token + " b", "a part": "…" + token[7:20] + "…", "quoted": quoted, "JSON": escaped,
		"hex": hex.EncodeToString([]byte(token)), "query": "?t=" + url.QueryEscape(token), "path": "/" + url.PathEscape(token) + "/",
		"basic": base64.StdEncoding.EncodeToString([]byte("user:" + token)), "bytes": fmt.Sprintf("%d", []byte(token)), "header": base64.URLEncoding.EncodeToString([]byte(`{"X-Inter-Cloud-Token":"` + token + `"}`)),
		"base64 2": base64.StdEncoding.EncodeToString([]byte("ab" + token + "and more")),
	} {
		if len(leaks(s, token)) == 0 {
			t.Errorf("%s: %q is not seen", name, s)
		}
		if got := leaks(s, rotated); len(got) > 0 {
			t.Errorf("%s: another token is seen %v", name, got)
		}
	}
}

// quiet fails if a secret, or telemetry, stands in what somebody wrote.
func quiet(t testing.TB, who, said string, secrets ...string) {
	t.Helper()
	for _, secret := range append(secrets, token, rotated, wrong, cosmos) {
		for _, form := range leaks(said, secret) {
			t.Errorf("%s shows a secret (%.4s…, %s)", who, secret, form)
		}
	}
	for _, value := range []string{number, state, number[:9], state[:12]} {
		if strings.Contains(said, value) {
			t.Errorf("%s shows telemetry: %q", who, value)
		}
	}
	if t.Failed() {
		t.Logf("%s:\n%.5000s", who, said)
	}
}

// tokenless fails if a secret stands in an answer; telemetry may.
func tokenless(t testing.TB, who string, a serving.Answer) {
	t.Helper()
	said := text(a)
	if a.Status == http.StatusOK {
		said = strings.NewReplacer(number, "", state, "").Replace(said)
	}
	quiet(t, who, said)
}

// written fails if a program has left a secret in a file.
func written(t testing.TB, who, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		quiet(t, who+" file "+path, string(b))
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// exercise asks an API for everything, well and badly.
func exercise(t testing.TB, p *serving.Process, good string) {
	t.Helper()
	const latest, history = "/v1/devices/pump/latest?property=temperature", "/v1/devices/pump/history?property=temperature&property=state"
	requests := []struct {
		method, path, body, token string
		headers                   []string
	}{
		{"GET", history, "", good, nil}, {"GET", history + "&limit=1", "", good, nil}, {"GET", latest, "", good, []string{"Accept", "text/csv"}},
		{"GET", "/healthz", "", good, nil}, {"GET", "/openapi.json", "", good, nil}, {"OPTIONS", "/read", "", good, nil},
		{"POST", "/read", serving.Envelope("query", "pump", ""), good, []string{"Content-Type", "application/json"}},
		{"POST", "/read", serving.Envelope("query_last_entry", "pump", ""), good, []string{"Accept", wire.MediaType}},
		{"POST", "/read", serving.Envelope("query", "pump", `,"filters":[{"property_name":"state","operator":"=","value":"on"}]`), good, nil},
		{"GET", history, "", wrong, nil}, {"GET", history, "", "", nil}, {"GET", history, "", good + "x", nil}, {"GET", history, "", good[1:], nil},
		{"GET", history, "", "", []string{"Authorization", "Bearer " + good}},
		{"GET", history, "", "", []string{"Cookie", "token=" + url.QueryEscape(good)}},
		{"GET", history + "&token=" + url.QueryEscape(good), "", good, nil},
		{"GET", history + "&next_token=" + url.QueryEscape(good), "", good, nil},
		{"GET", history, "", "", []string{"X-Inter-Cloud-Tokens", good}},
		{"POST", "/read", `{"token":` + strconv.Quote(good) + `}`, good, nil},
		{"POST", "/read", `{"token":` + strconv.Quote(good), good, nil},
		{"POST", "/read", "not JSON", good, nil}, {"POST", "/read", strings.Repeat("x", 100<<10), good, nil}, {"PUT", latest, "", good, nil},
		{"GET", "/nowhere", "", good, nil}, {"GET", "/v1/devices/pump/../x", "", good, nil},
	}
	for _, r := range requests {
		a := serving.Ask(t, p.URL, r.method, r.path, r.body, r.token, r.headers...)
		tokenless(t, p.Name+": "+r.method+" "+r.path, a)
	}
}

// echo is a peer that fails and says what it was sent: of a last entry in a problem, of
// a history with filters in a warning, of another in a page where rows should be.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // one that broke off asks for nothing
	sent := r.Header.Get(identity.TokenHeader)
	if strings.Contains(string(body), `"filters"`) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(must(json.Marshal(map[string]any{"propertyValues": []any{}, "warnings": []hotreader.Warning{
			{Reason: hotreader.Replaced, Count: 1, Detail: "You warned with " + sent}}})))
		return
	}
	if !strings.Contains(string(body), "query_last_entry") {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "You sent "+sent)
		return
	}
	w.Header().Set("Content-Type", wire.ProblemType)
	w.WriteHeader(http.StatusBadGateway)
	_, _ = w.Write(must(json.Marshal(map[string]any{"title": "Not with " + sent, "status": http.StatusBadGateway, "detail": "nor with " + sent, "code": "unavailable"})))
}

// echoed fails if what echo says is not in a log: there was nothing to hide then.
func echoed(t testing.TB, log string, what ...string) {
	t.Helper()
	for _, s := range what {
		if !strings.Contains(log, s) {
			t.Errorf("there is nothing to search: no %q", s)
		}
	}
}

// TestTokenIsNeverWritten runs every program that serves, at the level debug,
// through good and bad requests, failing stores, a rotation and a crash, and
// searches all that it wrote, answered or left in files.
func TestTokenIsNeverWritten(t *testing.T) {
	store, file := bolt(t), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	peer, refusing := newPeer(t, token), newPeer(t, rotated)
	ill := newPeer(t, token)
	ill.Set(echo)
	closed := "http://127.0.0.1:" + strconv.Itoa(serving.Port(t))
	twin := func(l4, url, token string) map[string]string {
		return map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", l4), "REMOTE_READER_URL": url, "INTER_CLOUD_TOKEN": token, "HOTREADER_LOG_LEVEL": "debug"}
	}
	cosmosDB := map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("azure", "aws"), "INTER_CLOUD_TOKEN": token, "HOTREADER_LOG_LEVEL": "debug",
		"COSMOS_DB_ENDPOINT": closed, "COSMOS_DB_KEY": cosmos, "COSMOS_DB_DATABASE": "factory", "COSMOS_DB_CONTAINER": "hot"}
	firestore := map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("google", "aws"), "INTER_CLOUD_TOKEN": token, "HOTREADER_LOG_LEVEL": "debug",
		"GOOGLE_CLOUD_PROJECT": "plant-1", "FIRESTORE_COLLECTION": "hot", "FIRESTORE_EMULATOR_HOST": strings.TrimPrefix(closed, "http://")}
	serve := []string{"serve", "--store", store, "--log-level", "debug"}
	collected := newCollector(t)
	for _, c := range []struct {
		name, program string
		env           map[string]string
		args          []string
		token         string
	}{
		{"serve", "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token}, serve, token},
		{"serve, token in a file", "hotreader", nil, append(serve, "--token-file", file), token},
		{"serve, rotation", "hotreader", map[string]string{"INTER_CLOUD_TOKEN": rotated + "," + token}, serve, rotated},
		{"azure", "hotreader-azure", twin("azure", peer.URL, token), nil, token},
		{"azure, rotation", "hotreader-azure", twin("azure", refusing.URL, token+","+rotated), nil, rotated},
		{"azure, peer fails", "hotreader-azure", twin("azure", ill.URL, token), nil, token},
		{"azure, no store", "hotreader-azure", cosmosDB, nil, token},
		{"cloudrun", "hotreader-cloudrun", twin("google", peer.URL, token), nil, token},
		{"cloudrun, refused", "hotreader-cloudrun", twin("google", refusing.URL, token), nil, token},
		{"cloudrun, peer fails", "hotreader-cloudrun", twin("google", ill.URL, token), nil, token},
		{"cloudrun, no store", "hotreader-cloudrun", firestore, nil, token},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := collected.seen(c.env, c.name)
			page, metrics := "", serving.Port(t)
			switch c.program {
			case "hotreader":
				c.args = append(slices.Clone(c.args), "--metrics", ":"+strconv.Itoa(metrics))
				page = fmt.Sprintf("http://127.0.0.1:%d", metrics)
			case "hotreader-cloudrun":
				env["OTEL_METRICS_EXPORTER"], env["OTEL_EXPORTER_PROMETHEUS_HOST"], env["OTEL_EXPORTER_PROMETHEUS_PORT"] = "prometheus", "127.0.0.1", strconv.Itoa(metrics)
				page = fmt.Sprintf("http://127.0.0.1:%d", metrics)
			}
			p := start(t, c.program, env, c.args...)
			quiet(t, "its command line", arguments(t, p.Pid()))
			exercise(t, p, c.token)
			if page != "" {
				a := serving.Ask(t, page, "GET", "/metrics", "", "")
				if a.Status != http.StatusOK || !strings.Contains(a.Body, `hotreader_queries_total{code="unauthenticated"`) {
					t.Errorf("there is nothing to search: %d %.2000s", a.Status, a.Body)
				}
				quiet(t, "its metrics", text(a))
			}
			tokenless(t, "the last answer", serving.Ask(t, p.URL, "GET", "/v1/devices/the-last/latest?property=temperature", "", c.token))
			sent := []string{`"spanId"`, "the-last"}
			if c.program != "hotreader-cloudrun" {
				sent = append(sent, `"hotreader_queries_total"`)
			}
			collected.searched(t, c.name, sent...)
			p.Signal(t, quit)
			p.WaitExit(t)
			said := p.Log()
			if !strings.Contains(said, "goroutine ") || !strings.Contains(said, `"status":401`) {
				t.Errorf("there is nothing to search: %.2000s", said)
			}
			if strings.HasSuffix(c.name, "peer fails") {
				echoed(t, said, "You sent ", "Not with ")
			}
			quiet(t, "its log", said)
			written(t, c.name, p.Home)
		})
	}
}

// TestTokenIsNeverWrittenByLambda does the same with the functions of AWS.
func TestTokenIsNeverWrittenByLambda(t *testing.T) {
	var sick atomic.Bool
	table := dynamo(t, sick.Load)
	peer, refusing, ill := newPeer(t, token), newPeer(t, rotated), newPeer(t, token)
	ill.Set(echo)
	remote := func(url string) map[string]string {
		return map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("azure", "aws"), "REMOTE_READER_URL": url, "INTER_CLOUD_TOKEN": token, "HOTREADER_LOG_LEVEL": "debug"}
	}
	local := map[string]string{"DIGITAL_TWIN_INFO": serving.Twin("aws", "azure"), "INTER_CLOUD_TOKEN": rotated + "," + token, "HOTREADER_LOG_LEVEL": "debug",
		"DYNAMODB_TABLE_NAME": "hot-iot-data", "AWS_ENDPOINT_URL_DYNAMODB": table}
	gateway := func(token string) []byte {
		return must(json.Marshal(map[string]any{"version": "2.0", "rawPath": "/v1/devices/pump/latest", "rawQueryString": "property=temperature",
			"headers": map[string]string{"x-inter-cloud-token": token}, "requestContext": map[string]any{"http": map[string]string{"method": "GET"}}}))
	}
	collected := newCollector(t)
	for _, c := range []struct {
		name, handler string
		env           map[string]string
		events        [][]byte
	}{
		{"history", "hot-reader", remote(peer.URL), [][]byte{serving.Event("pump", both, serving.AllTime), serving.Event("pump", both, ""), []byte("{"), serving.Event("pump", both, serving.AllTime+`,"nextToken":"`+hex.EncodeToString([]byte("x"))+`"`)}},
		{"history, refused", "hot-reader", remote(refusing.URL), [][]byte{serving.Event("pump", both, serving.AllTime)}},
		{"last entry", "hot-reader-last-entry", remote(peer.URL), [][]byte{serving.Event("pump", both, ""), []byte("[]")}},
		{"history, peer fails", "hot-reader", remote(ill.URL), [][]byte{serving.Event("pump", both, serving.AllTime)}},
		{"last entry, peer fails", "hot-reader-last-entry", remote(ill.URL), [][]byte{serving.Event("pump", both, "")}},
		{"API", "hot-reader-api", local, [][]byte{gateway(token), gateway(rotated), gateway(wrong), gateway(""), []byte("{}")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := serving.Function(t, c.handler, collected.seen(c.env, c.name))
			if err := f.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
			quiet(t, "its command line", arguments(t, f.Pid()))
			good := 0
			send := func(e []byte) {
				body, err := f.Invoke(t.Context(), e, 20*time.Second)
				if err != nil {
					body = []byte(err.Error())
				} else {
					good++
				}
				tokenless(t, "an answer", serving.Answer{Status: http.StatusOK, Body: string(body)})
			}
			for _, e := range c.events {
				send(e)
			}
			if c.handler == "hot-reader-api" {
				sick.Store(true)
				send(gateway(token))
				sick.Store(false)
			}
			if _, fails, _ := strings.Cut(c.name, ", "); good == 0 && fails == "" {
				t.Error("no event was answered")
			}
			collected.searched(t, c.name, `"spanId"`)
			process, err := os.FindProcess(f.Pid())
			if err != nil {
				t.Fatal(err)
			}
			if err := process.Signal(quit); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if _, _, err := f.WaitExit(ctx); err != nil {
				t.Fatal(err)
			}
			if said := f.Log(); !strings.Contains(said, "goroutine ") || !strings.Contains(said, `"msg"`) {
				t.Errorf("there is nothing to search: %s", said)
			}
			switch c.name {
			case "history, peer fails":
				echoed(t, f.Log(), "You sent ")
			case "last entry, peer fails":
				echoed(t, f.Log(), "Not with ")
			}
			quiet(t, "its log", f.Log())
		})
	}
}

// TestTokenIsNeverWrittenAtStart: what a program says about an environment or a
// command line that is wrong, and its help, hold no secret, even where one was
// put in the wrong place.
func TestTokenIsNeverWrittenAtStart(t *testing.T) {
	good := map[string]string{"INTER_CLOUD_TOKEN": token, "HOTREADER_LOG_LEVEL": "debug", "DIGITAL_TWIN_INFO": serving.Twin("aws", "azure"), "REMOTE_READER_URL": "https://api.example.com"}
	command := [][]string{
		{"--help"}, {"serve", "--help"}, {"query", "--help"}, {"version"}, {"version", "--json"}, {"serve"},
		{"serve", "--token=" + token}, {"serve", "--store", "bolt:none.db", "--rate", "x"},
		{"query", "--remote", "https://u:" + url.QueryEscape(token) + "@127.0.0.1", "--device", "d", "--property", "p"},
		{"latest", "--remote", "http://127.0.0.1:" + strconv.Itoa(serving.Port(t)), "--device", "d", "--property", "p"},
	}
	environments := map[string]map[string]string{
		"two tokens, equal":       serving.With(good, "INTER_CLOUD_TOKEN", token+","+token),
		"three":                   serving.With(good, "INTER_CLOUD_TOKEN", token+","+rotated+","+wrong),
		"too short":               serving.With(good, "INTER_CLOUD_TOKEN", token[:31]),
		"both":                    serving.With(good, "INTER_CLOUD_TOKEN_SECRET", rotated),
		"in the secret's place":   serving.With(good, "INTER_CLOUD_TOKEN", "", "INTER_CLOUD_TOKEN_SECRET", token),
		"in the URL's user":       serving.With(good, "REMOTE_READER_URL", "https://u:"+url.QueryEscape(token)+"@api.example.com"),
		"in the URL's query":      serving.With(good, "REMOTE_READER_URL", "https://api.example.com/?token="+url.QueryEscape(token)),
		"the key in the endpoint": serving.With(good, "DIGITAL_TWIN_INFO", serving.Twin("azure", "aws"), "COSMOS_DB_ENDPOINT", "https://k:"+cosmos+"@plant.documents.azure.com", "COSMOS_DB_KEY", cosmos[1:]),
		"with a blank":            serving.With(good, "INTER_CLOUD_TOKEN", token+" "+rotated),
	}
	run := func(t *testing.T, name string, env map[string]string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, serving.Program(t, name), args...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "_HANDLER=hot-reader", "AWS_REGION=eu-central-1", "FUNCTIONS_CUSTOMHANDLER_PORT=1"}
		for k, v := range env {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		out, err := cmd.CombinedOutput()
		if len(out) == 0 {
			t.Errorf("%s says nothing: %v", name, err)
		}
		quiet(t, name+" "+strings.Join(args[:min(1, len(args))], ""), string(out))
		if name != "hotreader" && err == nil {
			t.Errorf("%s starts", name)
		}
	}
	for _, args := range command {
		run(t, "hotreader", good, args...)
	}
	for what, env := range environments {
		for _, name := range []string{"hotreader-lambda", "hotreader-azure", "hotreader-cloudrun"} {
			t.Run(what+"/"+name, func(t *testing.T) { run(t, name, env) })
		}
	}
}
