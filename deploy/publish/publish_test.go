package publish

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"hotreader"
)

// handled answers requests without a network, so that time can be faked.
type handled struct{ http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	h.ServeHTTP(w, in)
	return w.Result(), nil
}

// answers answers the requests one after the other, the last for ever.
type answers struct {
	t    *testing.T
	of   []string // METHOD PATH -> STATUS [Header=Value] body
	seen []string
	auth string
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.seen = append(a.seen, r.Method+" "+r.URL.RequestURI())
	a.auth = r.Header.Get("Authorization")
	line := a.of[min(len(a.seen), len(a.of))-1]
	var status int
	var rest string
	fmt.Sscan(line, &status)
	_, rest, _ = strings.Cut(line, " ")
	if location, body, ok := strings.Cut(rest, " "); ok && strings.HasPrefix(location, "Location=") {
		w.Header().Set("Location", strings.TrimPrefix(location, "Location="))
		rest = body
	}
	w.WriteHeader(status)
	io.WriteString(w, rest)
}

func static(text string) Token { return func(context.Context) (string, error) { return text, nil } }

func packageFile(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "app.zip")
	if err := os.WriteFile(name, []byte("PK"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const scm = "https://app-abc.scm.westeurope-01.azurewebsites.net"

func TestApp(t *testing.T) {
	file := packageFile(t)
	const post, get = "POST /api/publish?RemoteBuild=false&Deployer=hotreader", "GET /api/deployments/7"
	for _, c := range []struct {
		name    string
		answers []string
		seen    []string
		took    time.Duration
		code    hotreader.Code
		says    string
	}{
		{"at once", []string{"200 "}, []string{post}, 0, "", ""},
		{"accepted", []string{"202 Location=" + scm + "/api/deployments/7 ", `200 {"status":1}`, `200 {"status":4,"complete":true}`},
			[]string{post, get, get}, pause, "", ""},
		{"accepted, without a place", []string{"202 ", `200 {"status":4}`}, []string{post, "GET /api/deployments/latest"}, 0, "", ""},
		{"roles not in force", []string{"403 no", "401 ", "404 ", "503 ", "409 ", "200 "}, []string{post, post, post, post, post, post}, 5 * pause, "", ""},
		{"failed", []string{"202 Location=/api/deployments/7 ", `200 {"status":3,"status_text":"no host.json"}`}, []string{post, get}, 0, hotreader.CodeStore, "no host.json"},
		{"ended without success", []string{"202 Location=/api/deployments/7 ", `200 {"status":5,"complete":true,"message":"partly"}`}, []string{post, get}, 0, hotreader.CodeStore, "partly"},
		{"state not there yet", []string{"202 Location=/api/deployments/7 ", "404 ", "200 <html>", `200 {"status":4}`}, []string{post, get, get, get}, 2 * pause, "", ""},
		{"refused", []string{"400 bad zip"}, []string{post}, 0, hotreader.CodeConfig, "status 400: bad zip"},
		{"never", []string{"403 forbidden"}, nil, patience, hotreader.CodeDeadline, "status 403: forbidden"},
		{"to another host", []string{"202 Location=https://evil.example/x ", `200 {"status":4}`}, []string{post}, 0, hotreader.CodeProtocol, "another host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{t: t, of: c.answers}
				began := time.Now()
				err := Publisher{Token: static("secret"), Transport: handled{a}}.App(t.Context(), file, scm)
				if code := hotreader.CodeOf(err); code != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("the error is %v (%s), want %s: %s", err, code, c.code, c.says)
				}
				if c.seen != nil && !slices.Equal(a.seen, c.seen) {
					t.Errorf("the requests are %q, want %q", a.seen, c.seen)
				}
				if took := time.Since(began); took < c.took || took > c.took+pause {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if a.auth != "Bearer secret" {
					t.Errorf("the authorization is %q", a.auth)
				}
			})
		})
	}
}

func TestVault(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []string
		took    time.Duration
		code    hotreader.Code
	}{
		{"ready", []string{`200 {"value":[]}`}, 0, ""},
		{"role not in force", []string{"403 ForbiddenByRbac", "403 ", `200 {"value":[]}`}, 2 * pause, ""},
		{"another tenant", []string{"401 AKV10032"}, 0, hotreader.CodeForbidden},
		{"never", []string{"403 ForbiddenByRbac"}, patience, hotreader.CodeDeadline},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{t: t, of: c.answers}
				began := time.Now()
				var notes []string
				err := Publisher{static("secret"), handled{a}, func(text string) { notes = append(notes, text) }}.Vault(t.Context(), "https://plant.vault.azure.net/")
				if code := hotreader.CodeOf(err); code != c.code {
					t.Errorf("the error is %v (%s), want %s", err, code, c.code)
				}
				if took := time.Since(began); took < c.took || took > c.took+pause {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if a.seen[0] != "GET /secrets?api-version=7.4&maxresults=1" {
					t.Errorf("the request is %q", a.seen[0])
				}
				if want := min(1, int(c.took)); len(notes) != want {
					t.Errorf("it says %q, want %d notes", notes, want)
				}
			})
		})
	}
}

// A server that takes requests and says nothing is not waited for longer than patience.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := handled{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
		began := time.Now()
		_ = Publisher{Token: static("secret"), Transport: silent}.Vault(t.Context(), "https://plant.vault.azure.net/")
		if took := time.Since(began); took != patience {
			t.Errorf("it took %s", took)
		}
	})
}

// The end of the context ends the waiting.
func TestAppEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		began := time.Now()
		err := Publisher{Token: static("secret"), Transport: handled{&answers{t: t, of: []string{"403 "}}}}.Vault(ctx, "https://plant.vault.azure.net/")
		if hotreader.CodeOf(err) != hotreader.CodeDeadline || time.Since(began) != 12*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// Without a sign-in there is nothing to wait for.
func TestNoSignIn(t *testing.T) {
	file := layoutFile(t, nil)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		want := &hotreader.Error{Op: "sign in", Code: hotreader.CodeUnauthenticated, Err: errors.New("run az login")}
		none := func(context.Context) (string, error) { return "", want }
		p := Publisher{Token: none, Transport: handled{http.NotFoundHandler()}}
		for name, err := range map[string]error{
			"vault": p.Vault(t.Context(), "https://plant.vault.azure.net/"),
			"app":   p.App(t.Context(), file, scm),
			"image": p.Image(t.Context(), file, "europe-west1-docker.pkg.dev/p/r/app:1"),
		} {
			if !errors.Is(err, want) || time.Since(began) != 0 {
				t.Errorf("%s: after %s: %v", name, time.Since(began), err)
			}
		}
	})
}

// A token is shown to the cloud's own services only.
func TestHosts(t *testing.T) {
	file, ctx := packageFile(t), t.Context()
	layout := layoutFile(t, nil)
	shown := func(context.Context) (string, error) {
		t.Error("the token is asked for")
		return "secret", nil
	}
	p := Publisher{Token: shown, Transport: handled{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a request to %s", r.URL) })}}
	for _, base := range []string{"", "app", "http://app.scm.azurewebsites.net", "https://app.azurewebsites.net", "https://app.scm.azurewebsites.net.evil.example",
		"https://u@app.scm.azurewebsites.net", "https://evilazurewebsites.net", "ftp://127.0.0.1"} {
		if err := p.App(ctx, file, base); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("app %q: %v", base, err)
		}
	}
	for _, base := range []string{"https://vault.azure.net", "https://plant.vault.azure.net.evil.example/", "http://plant.vault.azure.net/"} {
		if err := p.Vault(ctx, base); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("vault %q: %v", base, err)
		}
	}
	for _, ref := range []string{"", "europe-west1-docker.pkg.dev", "docker.io/library/app:1", "europe-west1-docker.pkg.dev/p/r/app", "pkg.dev/p/r/app:1",
		"europe-west1-docker.pkg.dev.evil.example/p/r/app:1", "europe-west1-docker.pkg.dev/p/r/app:1;rm", "u@europe-west1-docker.pkg.dev/p/r/app:1"} {
		if err := p.Image(ctx, layout, ref); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("image %q: %v", ref, err)
		}
	}
}

// layoutFile writes an OCI layout with a small image in it. change, if not nil,
// may change its files first.
func layoutFile(t *testing.T, change func(files map[string][]byte)) string {
	t.Helper()
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	blob := func(kind string, text []byte) map[string]any {
		sum := sha256.Sum256(text)
		d := hex.EncodeToString(sum[:])
		files["blobs/sha256/"+d] = text
		return map[string]any{"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + d, "size": len(text)}
	}
	doc := func(v any) []byte {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	m := doc(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": blob("config.v1+json", []byte(`{"architecture":"amd64","os":"linux"}`)),
		"layers": []any{blob("layer.v1.tar+gzip", bytes.Repeat([]byte("layer"), 1000))}})
	files["index.json"] = doc(map[string]any{"schemaVersion": 2, "manifests": []any{blob("manifest.v1+json", m)}})
	if change != nil {
		change(files)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range files {
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}), func() error { _, err := w.Write(text); return err }()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(name, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestImage pushes to a registry made by others, and pulls from it.
func TestImage(t *testing.T) {
	var seen []string
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method)
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	})
	file := layoutFile(t, nil)
	const host = "europe-west1-docker.pkg.dev"
	push := func() {
		t.Helper()
		seen = nil
		if err := (Publisher{Token: static("secret"), Transport: handled{h}}).Image(t.Context(), file, host+"/plant-1/images/hotreader:sha256-abc"); err != nil {
			t.Fatal(err)
		}
	}
	push()
	img, err := ReadLayout(file)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) []byte {
		r := httptest.NewRequest(http.MethodGet, "/v2/plant-1/images/hotreader"+path, nil)
		w := httptest.NewRecorder()
		inner.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
		return w.Body.Bytes()
	}
	if got := get("/manifests/sha256-abc"); !bytes.Equal(got, img.Text(img.Manifest)) {
		t.Errorf("the manifest is %s", got)
	}
	for _, d := range append(img.Layers, img.Config) {
		if got := get("/blobs/" + d.Digest); !bytes.Equal(got, img.Text(d)) || len(got) == 0 {
			t.Errorf("blob %s has %d bytes", d.Digest, len(got))
		}
	}
	push()
	if slices.Contains(seen, "PUT") || slices.Contains(seen, "POST") {
		t.Errorf("what is there is sent again: %q", seen)
	}
}

func TestImageErrors(t *testing.T) {
	const ref = "europe-west1-docker.pkg.dev/p/r/app:1"
	for _, c := range []struct {
		name, says string
		code       hotreader.Code
		answer     string
	}{
		{"no right", "Artifact Registry Writer", hotreader.CodeForbidden, "403 denied"},
		{"not signed in", "Artifact Registry Writer", hotreader.CodeForbidden, "401 "},
		{"a registry that is down", "status 503", hotreader.CodeDeadline, "503 "},
		{"a repository that never comes", "status 404", hotreader.CodeDeadline, "404 NAME_UNKNOWN"},
		{"a redirect", "status 307", hotreader.CodeUnavailable, "307 Location=https://evil.example/ "},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := layoutFile(t, nil)
			synctest.Test(t, func(t *testing.T) {
				a := &answers{t: t, of: []string{c.answer}}
				err := Publisher{Token: static("secret"), Transport: handled{a}}.Image(t.Context(), file, ref)
				if hotreader.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
					t.Errorf("the error is %v, want %s: %s", err, c.code, c.says)
				}
			})
		})
	}
	for _, c := range []struct {
		name, says string
		change     func(map[string][]byte)
	}{
		{"no index", "no OCI layout", func(f map[string][]byte) { delete(f, "index.json") }},
		{"damaged", "damaged", func(f map[string][]byte) {
			for name, text := range f {
				if strings.HasPrefix(name, "blobs/") {
					f[name] = append(text, ' ')
				}
			}
		}},
		{"a digest that is a path", "is none", func(f map[string][]byte) {
			f["index.json"] = []byte(`{"manifests":[{"digest":"sha256:../../etc/passwd"}]}`)
		}},
		{"a part missing", "lacks", func(f map[string][]byte) {
			f["index.json"] = []byte(`{"manifests":[{"digest":"sha256:` + strings.Repeat("0", 64) + `"}]}`)
		}},
		{"two images", "one image", func(f map[string][]byte) { f["index.json"] = []byte(`{"manifests":[{},{}]}`) }},
	} {
		file := layoutFile(t, c.change)
		err := Publisher{Token: static("secret"), Transport: handled{http.NotFoundHandler()}}.Image(t.Context(), file, ref)
		if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestAzureToken(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"ARM_CLIENT_ID": "c", "ARM_TENANT_ID": "t", "ARM_CLIENT_SECRET": "s"}, "*azidentity.ClientSecretCredential"},
		{map[string]string{"ARM_CLIENT_ID": "c", "ARM_TENANT_ID": "t", "ARM_USE_OIDC": "true"}, "*azidentity.ClientAssertionCredential"},
		{map[string]string{"ARM_USE_MSI": "1"}, "*azidentity.ManagedIdentityCredential"},
		{map[string]string{}, "*azidentity.DefaultAzureCredential"},
	} {
		got, err := azureCredential(func(name string) string { return c.env[name] })
		if err != nil || fmt.Sprintf("%T", got) != c.want {
			t.Errorf("%v: %T, %v, want %s", c.env, got, err, c.want)
		}
	}
}

func TestIDToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"value":"%s %s"}`, r.Header.Get("Authorization"), r.URL.Query().Get("audience"))
	}))
	defer s.Close()
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"ARM_OIDC_TOKEN": "plain"}, "plain"},
		{map[string]string{"ARM_OIDC_TOKEN_FILE_PATH": file}, "from-file"},
		{map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": s.URL + "?v=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}, "Bearer t api://AzureADTokenExchange"},
		{map[string]string{}, ""},
	} {
		got, err := idToken(t.Context(), func(name string) string { return c.env[name] })
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%v: %q, %v, want %q", c.env, got, err, c.want)
		}
	}
}

func TestGoogleToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "user.json")
	user := `{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}`
	if err := os.WriteFile(file, []byte(user), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  map[string]string
		good bool
	}{
		{map[string]string{"GOOGLE_OAUTH_ACCESS_TOKEN": "direct"}, true},
		{map[string]string{"GOOGLE_CREDENTIALS": user}, true},
		{map[string]string{"GOOGLE_CREDENTIALS": file}, true},
		{map[string]string{"GOOGLE_CREDENTIALS": "secret, but no file"}, false},
		{map[string]string{"GOOGLE_CREDENTIALS": `{"type":`}, false},
	} {
		token, err := GoogleToken(t.Context(), func(name string) string { return c.env[name] })
		if (err == nil) != c.good || (token != nil) != c.good {
			t.Errorf("%v: %v", c.env, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret, but") {
			t.Errorf("the error gives the credentials away: %v", err)
		}
		if direct := c.env["GOOGLE_OAUTH_ACCESS_TOKEN"]; direct != "" {
			if got, err := token(t.Context()); got != direct || err != nil {
				t.Errorf("the token is %q, %v", got, err)
			}
		}
	}
}
