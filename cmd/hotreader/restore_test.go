package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"hotreader"
	"hotreader/cmd/hotreader/internal/restorer"
	"hotreader/config"
	"hotreader/deploy"
	"hotreader/internal/cost"
	"hotreader/test/golden"
)

// glacier plays S3, whose emulators have no restores in their lists.
type glacier struct {
	mu      sync.Mutex
	objects map[string]*archivedObject
	asked   []string
	refuse  string // the code of every restore's refusal; "" = none
}

type archivedObject struct {
	class, restore string // as S3 lists them
	size           int
}

const (
	ongoing  = "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>"
	restored = "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2099-01-02T00:00:00Z</RestoreExpiryDate></RestoreStatus>"
	expired  = "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress><RestoreExpiryDate>2020-01-02T00:00:00Z</RestoreExpiryDate></RestoreStatus>"
)

func (g *glacier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fail := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>told</Message></Error>", code)
	}
	if r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2" {
		fmt.Fprint(w, "<ListBucketResult><Name>plant</Name>")
		for _, key := range slices.Sorted(maps.Keys(g.objects)) {
			o := g.objects[key]
			fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>%d</Size><ETag>e</ETag><LastModified>2025-01-01T00:00:00Z</LastModified><StorageClass>%s</StorageClass>%s</Contents>", key, o.size, o.class, o.restore)
			if o.restore == ongoing && len(g.asked) > 0 { // so it is restored when it is listed again
				o.restore = restored
			}
		}
		fmt.Fprint(w, "</ListBucketResult>")
		return
	}
	var body struct {
		Days int
		Job  struct{ Tier string } `xml:"GlacierJobParameters"`
	}
	text, _ := io.ReadAll(r.Body)
	key := strings.TrimPrefix(r.URL.Path, "/plant/")
	o := g.objects[key]
	switch err := xml.Unmarshal(text, &body); {
	case err != nil || r.Method != http.MethodPost || !r.URL.Query().Has("restore"):
		fail(http.StatusBadRequest, "NotARestore")
	case g.refuse != "":
		fail(http.StatusForbidden, g.refuse)
	case o == nil || o.size == 0:
		fail(http.StatusNotFound, "NoSuchKey")
	case o.restore == ongoing:
		fail(http.StatusConflict, "RestoreAlreadyInProgress")
	default:
		g.asked = append(g.asked, fmt.Sprintf("%s %s %d", key, body.Job.Tier, body.Days))
		o.restore = ongoing
		w.WriteHeader(http.StatusAccepted)
	}
}

func newGlacier(t *testing.T) (*glacier, []string) {
	g := &glacier{objects: map[string]*archivedObject{
		"rows/2025/01/01/a.json": {"DEEP_ARCHIVE", "", 2e9}, "rows/2025/01/02/a.json": {"DEEP_ARCHIVE", ongoing, 1e6},
		"rows/2025/01/03/a.json": {"GLACIER", restored, 1e6}, "rows/2025/01/04/a.json": {"GLACIER", expired, 1e6},
		"rows/2025/01/05/a.json": {"STANDARD", "", 1e6}, "rows/2026/01/05/a.json": {"GLACIER", "", 1e6},
	}}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "k")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	return g, []string{"restore", "--archive", "s3://plant/rows?region=eu-central-1&endpoint=" + s.URL, "--device", "pump-7", "--start", "2025-01-01", "--end", "2025-12-31"}
}

// oneRefused is the object of which a refusal speaks, one of several at once.
var oneRefused = regexp.MustCompile(`restore rows/\S+ of`)

// What restore prints, asks for and waits for, in each state.
func TestRestore(t *testing.T) {
	g, args := newGlacier(t)
	var all bytes.Buffer
	say := func(want int, more ...string) {
		t.Helper()
		var out, talk bytes.Buffer
		if code := run(t.Context(), append(slices.Clone(args), more...), strings.NewReader(""), &out, &talk); code != want {
			t.Errorf("%q: code %d, want %d", more, code, want)
		}
		talk = *bytes.NewBuffer(oneRefused.ReplaceAll(talk.Bytes(), []byte("restore KEY of")))
		text := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).ReplaceAllString(out.String()+"---\n"+talk.String(), "URL")
		fmt.Fprintf(&all, "$ hotreader restore %s\n%s", strings.Join(more, " "), text)
	}
	asked := func(want string) {
		t.Helper()
		slices.Sort(g.asked)
		if got := strings.Join(g.asked, ", "); got != want {
			t.Errorf("asked for %q, want %q", got, want)
		}
	}
	say(0, "--plan")
	say(0, "--plan", "--tier", "bulk", "--days", "30", "--json")
	say(2, "--yes", "--tier", "expedited")
	say(2)
	asked("")
	refusing, others := newGlacier(t) // its own: what is given up at the first refusal may still arrive
	refusing.refuse = "AccessDenied"
	args, others = others, args
	say(3, "--yes")
	args = others
	g.objects["rows/2025/01/06/a.json"] = &archivedObject{"GLACIER", "", 0} // gone when it is asked for
	say(4, "--yes")
	asked("rows/2025/01/01/a.json Standard 7, rows/2025/01/04/a.json Standard 7")
	delete(g.objects, "rows/2025/01/06/a.json")
	say(0, "--yes", "--wait", "--every", "1ms")
	say(0, "--yes")
	asked("rows/2025/01/01/a.json Standard 7, rows/2025/01/04/a.json Standard 7")
	golden.File(t, "testdata/restore.golden", all.Bytes())
}

// Nothing is asked for without a yes.
func TestRestoreAsks(t *testing.T) {
	g, args := newGlacier(t)
	for _, answer := range []string{"\n", "n\n", "y\n"} {
		want := deploy.ErrDeclined
		if answer == "y\n" {
			want = nil
		}
		var out, talk bytes.Buffer
		k := &restoring{app: newApp(strings.NewReader(answer), &out, &talk), archive: args[2]}
		k.job = restorer.Job{Devices: []string{"pump-7"}, Tier: cost.Standard, Days: 1, Prices: cost.Listed()}
		_, closeAll, err := k.open(t.Context())
		defer closeAll()
		if err != nil {
			t.Fatal(err)
		}
		plan, err := k.job.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g.asked = nil
		if _, err := k.ask(t.Context(), plan); !errors.Is(err, want) || (len(g.asked) > 0) != (want == nil) {
			t.Errorf("%q: %v, asked for %q", answer, err, g.asked)
		}
		if !strings.Contains(talk.String(), "Restore 3 objects for about 0.0") {
			t.Errorf("%s", &talk)
		}
	}
}

// A query says what restore will say.
func TestQueryOfArchivedObjects(t *testing.T) {
	_, args := newGlacier(t)
	args[0], args[1] = "query", "--cold"
	var out, talk bytes.Buffer
	code := run(t.Context(), append(args, "--store", "mem:", "--property", "v"), strings.NewReader(""), &out, &talk)
	want := "3 objects of 2.0 GB lie in archive storage (DEEP_ARCHIVE, GLACIER), from 2024-12-31T00:00:00Z to 2025-01-05T23:59:59Z; being restored: 1, not yet: 2; " +
		"a restore costs about 0.05 USD (list prices of 2026-11-23) and takes up to 12 h; ask for it with hotreader restore: a query never does"
	if code != exitCode(&hotreader.Error{Code: hotreader.CodeNotRestored}) || !strings.Contains(talk.String(), want) {
		t.Errorf("code %d, %s", code, &talk)
	}
}

// A project's lower tiers, as its functions read them.
func TestRestoreOfAProject(t *testing.T) {
	p := &config.Project{L3: config.AWS, Cold: config.AWS, Archive: config.Azure}
	p.Options.AWS.Region = "eu-central-1"
	p.Options.Layout.TimeKey = "ts"
	p.Options.Cold = config.Objects{Bucket: "plant", Prefix: "rows/", Format: "mover"}
	p.Options.Archive = config.Objects{Account: "plant", Container: "old"}
	want := []string{"s3://plant/rows/?format=mover&region=eu-central-1&time_key=ts", "azblob://plant/old/?time_key=ts"}
	if got := objectsOf(p); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRestoreMistakes(t *testing.T) {
	_, args := newGlacier(t)
	var out, talk bytes.Buffer
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"restore", "--device", "d"}, "of what?"},
		{[]string{"restore", "--device", "d", "--cold", "x", "--project", "y"}, "leave out"},
		{args[:3], "which device?"},
		{[]string{"restore", "--device", "d", "--cold", "bolt:x.db"}, "not a terminal"},
		{append(slices.Clone(args), "--days", "0"), "1 to 365"},
		{append(slices.Clone(args), "--tier", "bulky"), "bulk"},
		{append(slices.Clone(args), "--every", "0s"), "more than 0"},
		{[]string{"restore", "--device", "d", "--cold", "mem:", "--yes"}, "objects alone are archived"},
	} {
		talk.Reset()
		if code := run(t.Context(), c.args, strings.NewReader(""), &out, &talk); code == 0 || !strings.Contains(talk.String(), c.says) {
			t.Errorf("%q: code %d, %s", c.args, code, &talk)
		}
	}
}
