package identity

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

const (
	current  = "0123456789abcdef0123456789abcdef"
	previous = "fedcba9876543210fedcba9876543210"
	next     = "00112233445566778899aabbccddeeff"
)

func static(t *testing.T, text string) *Token {
	t.Helper()
	token, err := Static(text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestStatic(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{current, ""},
		{current + "," + previous, ""},
		{" " + current + " , " + previous + "\n", ""},
		{"", "is empty"},
		{" \n", "is empty"},
		{current[1:], "token: it has 31 bytes, at least 32"},
		{current + ",", "token 2 has 0 bytes"},
		{"," + current, "token 1 has 0 bytes"},
		{current + ",hunter2", "token 2 has 7 bytes"},
		{current + "," + previous + "," + next, "3 tokens"},
		{current + "," + current, "the same"},
		{current[:16] + " " + current[16:], "at byte 17"},
		{current + "é", "it has a character that an HTTP header cannot carry, at byte 33"},
		{current + "\x00", "at byte 33"},
	} {
		token, err := Static(c.text)
		if c.says == "" {
			if err != nil || token.Current() != current {
				t.Errorf("%q: %v, %v", c.text, token.Current(), err)
			}
			continue
		}
		if token != nil || hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, which does not say %q", c.text, err, c.says)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), current[:8]) {
			t.Errorf("%q gives the token away", err)
		}
	}
}

func TestPitfall20Match(t *testing.T) {
	token := static(t, current+","+previous)
	for _, c := range []struct {
		presented string
		slot      int
	}{
		{current, 0},
		{previous, 1},
		{"", -1},
		{next, -1},
		{current[:31], -1},
		{current + "0", -1},
		{current + "," + previous, -1},
		{strings.ToUpper(current), -1},
		{" " + current, -1},
		{"tökén\xff\x00" + current, -1}, // any bytes, no panic
		{strings.Repeat("x", 1<<20), -1},
	} {
		if slot, ok := token.Match(c.presented); slot != c.slot || ok != (c.slot >= 0) {
			t.Errorf("Match(%.40q) = %d, %v; want %d", c.presented, slot, ok, c.slot)
		}
	}
}

func TestFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value, fetches := current, 0
		var fail error
		token, err := Fetched(t.Context(), func(context.Context) (string, time.Time, error) {
			fetches++
			return value, time.Time{}, fail
		})
		if err != nil || fetches != 1 || token.Current() != current {
			t.Fatalf("%v, %d fetches", err, fetches)
		}
		refresh := func() bool {
			t.Helper()
			changed, err := token.Refresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return changed
		}

		value = next + "," + current // rotated
		time.Sleep(refetch - 1)
		if refresh() || fetches != 1 {
			t.Errorf("fetched %d times within five minutes", fetches)
		}
		time.Sleep(1)
		if !refresh() || fetches != 2 || token.Current() != next {
			t.Errorf("not fetched after five minutes: %d times", fetches)
		}
		if _, ok := token.Match(current); !ok {
			t.Error("the previous token is refused")
		}

		time.Sleep(refetch)
		if refresh() || fetches != 3 {
			t.Errorf("the same token again counts as a change; %d fetches", fetches)
		}

		fail = errors.New("access denied")
		time.Sleep(refetch)
		if _, err := token.Refresh(t.Context()); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "access denied") {
			t.Errorf("got %v", err)
		}
		if token.Current() != next {
			t.Error("the token was lost with the failed fetch")
		}
		fail = nil
		value = current
		if refresh() || fetches != 4 {
			t.Error("a failed fetch was tried again at once")
		}
		time.Sleep(refetch)
		if !refresh() || token.Current() != current {
			t.Error("not recovered from a failed fetch")
		}

		value = "short"
		time.Sleep(refetch)
		if _, err := token.Refresh(t.Context()); err == nil || token.Current() != current {
			t.Errorf("a token that is too short was taken: %v", err)
		}
	})
}

func TestFetchedFailsAtStart(t *testing.T) {
	own := &hotreader.Error{Op: "secrets", Code: hotreader.CodeUnavailable}
	for _, c := range []struct {
		value string
		err   error
		code  hotreader.Code
	}{
		{"", errors.New("no"), hotreader.CodeConfig},
		{"", own, hotreader.CodeUnavailable},
		{"short", nil, hotreader.CodeConfig},
	} {
		token, err := Fetched(t.Context(), func(context.Context) (string, time.Time, error) { return c.value, time.Time{}, c.err })
		if token.Current() != "" || hotreader.CodeOf(err) != c.code {
			t.Errorf("%v, %v; want %s", token, err, c.code)
		}
	}
}

// A fetch that ends with its caller's deadline does not count as the one in five
// minutes.
func TestRefreshOfHastyCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value := current
		token, err := Fetched(t.Context(), func(ctx context.Context) (string, time.Time, error) {
			time.Sleep(time.Second)
			return value, time.Time{}, ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		value = next
		time.Sleep(refetch)
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := token.Refresh(hasty); hotreader.CodeOf(err) != hotreader.CodeDeadline {
			t.Errorf("got %v", err)
		}
		if changed, err := token.Refresh(t.Context()); !changed || err != nil {
			t.Errorf("%v, %v: the next caller must fetch", changed, err)
		}
	})
}

// Many requests that are rejected at the same time cause one fetch, and none of
// them waits for it longer than its own context.
func TestRefreshIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		token, err := Fetched(t.Context(), func(ctx context.Context) (string, time.Time, error) {
			if fetches++; fetches > 1 {
				time.Sleep(10 * time.Second)
				return next, time.Time{}, nil
			}
			return current, time.Time{}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(refetch)
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if changed, err := token.Refresh(t.Context()); !changed || err != nil {
					t.Errorf("%v, %v: want to know that it changed", changed, err)
				}
			})
		}
		synctest.Wait()
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := token.Refresh(hasty); hotreader.CodeOf(err) != hotreader.CodeDeadline || time.Since(begin) > time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		if token.Current() != current { // readers do not wait for the fetch
			t.Error("the new token came too early")
		}
		group.Wait()
		if fetches != 2 || token.Current() != next {
			t.Errorf("%d fetches", fetches)
		}
	})
}

func TestMade(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	if made := static(t, strings.Repeat("a", MinBytes)).Made(); !made.IsZero() {
		t.Errorf("a static token was made %s", made)
	}
	fetched, err := Fetched(t.Context(), func(context.Context) (string, time.Time, error) {
		return strings.Repeat("a", MinBytes), at, nil
	})
	if err != nil || !fetched.Made().Equal(at) {
		t.Errorf("%s, %v", fetched.Made(), err)
	}
}

func TestKeys(t *testing.T) {
	before, after := static(t, current), static(t, next+","+current)
	old, both := before.Keys("page token"), after.Keys("page token")
	if len(old) != 1 || len(both) != 2 || !bytes.Equal(old[0], both[1]) || bytes.Equal(both[0], both[1]) {
		t.Errorf("%x and %x", old, both)
	}
	if other := before.Keys("something else"); bytes.Equal(other[0], old[0]) {
		t.Error("one key for two purposes")
	}
	if again := static(t, current).Keys("page token"); !bytes.Equal(again[0], old[0]) {
		t.Error("another key after a restart")
	}
}

func TestTokenIsNeverPrinted(t *testing.T) {
	token := static(t, current+","+previous)
	holder := struct{ Token *Token }{token}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", token)
		fmt.Fprintf(&out, verb+"\n", holder)
		fmt.Fprintf(&out, verb+"\n", reflect.ValueOf(token).Elem()) // by value, which has no String
	}
	text, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("start", "token", token, "holder", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("start", "token", token, "holder", holder)
	for _, leak := range []string{current, previous, fmt.Sprintf("%x", current), "[48 49 50"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q stands in\n%s", leak, out.String())
		}
	}
}

func shown(tokens ...string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, "https://api.example.com", nil) // the address is valid
	if tokens != nil {
		r.Header[TokenHeader] = tokens
	}
	return r
}

// A caller is one of the active tokens, with their devices; all others are
// rejected alike.
func TestSharedVerifies(t *testing.T) {
	v := &Callers{Shared: []Shared{{Token: static(t, current+","+previous), Caller: Caller{Devices: Devices{"pump-*"}}}}}
	refused := map[string]bool{}
	for _, c := range []struct {
		shown []string
		name  string
	}{
		{[]string{current}, "current"}, {[]string{previous}, "previous"},
		{nil, ""}, {[]string{""}, ""}, {[]string{next}, ""}, {[]string{current, current}, ""}, {[]string{current, previous}, ""}, {[]string{"tökén\xff"}, ""},
	} {
		caller, err := v.Verify(shown(c.shown...))
		if caller.Name != c.name || (err == nil) != (c.name != "") || c.name != "" && (!caller.Devices.Has("pump-1") || caller.Devices.Has("valve")) {
			t.Errorf("%q: %+v, %v", c.shown, caller, err)
		}
		if err != nil {
			refused[fmt.Sprintf("%v %s", err, hotreader.CodeOf(err))] = true
		}
	}
	if len(refused) != 1 {
		t.Errorf("refused in these ways: %v", refused)
	}
}

// A rejected token is fetched again, by client and server, and what was sent is never
// shown.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value, fail := current, error(nil)
		token, err := Fetched(t.Context(), func(context.Context) (string, time.Time, error) { return value, time.Time{}, fail })
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		v := &Callers{Shared: []Shared{{Token: token}}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		sent := shown()
		if err := token.Apply(sent); err != nil || sent.Header.Get(TokenHeader) != current || Hide(sent, "you sent "+current) != "you sent [token]" || Hide(nil, "x") != "x" || Hide(shown(), "x") != "x" {
			t.Errorf("%v, %v", sent.Header, err)
		}
		if again, err := token.Refused(t.Context(), sent); again || err != nil {
			t.Errorf("again %v, %v: the token is the same", again, err)
		}
		time.Sleep(refetch)
		fail = errors.New("access denied")
		if again, err := token.Refused(t.Context(), sent); again || err == nil {
			t.Errorf("again %v, %v", again, err)
		}
		time.Sleep(refetch)
		if _, err := v.Verify(shown(next)); !errors.Is(err, hotreader.CodeUnauthenticated) || !strings.Contains(log.String(), "access denied") {
			t.Errorf("%v, told: %s", err, log.String())
		}
		value, fail = next, nil
		time.Sleep(refetch)
		gone, cancel := context.WithCancel(t.Context())
		cancel() // a caller that hangs up prevents nothing
		if caller, err := v.Verify(shown(next).WithContext(gone)); err != nil || caller.Name != "current" {
			t.Errorf("%+v, %v", caller, err)
		}
		if again, err := token.Refused(t.Context(), sent); !again || err != nil {
			t.Errorf("again %v, %v: there is another", again, err)
		}
	})
}

// Secrets made in a cloud's console are keys and values as JSON.
func TestTokenOfKeysAndValues(t *testing.T) {
	for text, want := range map[string]string{
		`{"token":"` + current + `"}`: current,
		` {"INTER_CLOUD_TOKEN" : "` + current + `", "comment":"of the factory"}` + "\n": current,
		`{"inter-cloud-token":"` + current + `,` + previous + `"}`:                      current,
		`{"value":"` + current + `","createdBy":{"name":"x"}}`:                          current,
		`{"current":"` + current + `","previous":"` + previous + `"}`:                   current,
		`{"token":"` + current + `","previous":""}`:                                     current,
		`{"password":"` + current + `","user":"u"}`:                                     "the secret is JSON with keys password, user; text is expected",
		`{"token":"` + current + `","value":"` + previous + `"}`:                        "the secret is JSON with keys token, value; text is expected",
		`{"token":12345678901234567890123456789012}`:                                    "the secret is JSON with keys token; text is expected",
		`{}`:                  "the secret is JSON with keys ; text is expected",
		`["` + current + `"]`: "is JSON, but no object",
		`"` + current + `"`:   "is JSON, but no object",
		`{"token":"short"}`:   "it has 5 bytes, at least 32",
		`{"token":"` + current + `","previous":"short"}`: "token 2 has 5 bytes",
		`{` + current + `}`: "", // no JSON: a token as it is
	} {
		token, err := Static(text)
		switch {
		case want == "":
			want = strings.TrimSpace(text)
			fallthrough
		case want == current:
			if err != nil || token.Current() != want {
				t.Errorf("%s: %v", text, err)
			}
		case token != nil || hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v; want %s", text, err, want)
		case strings.Contains(err.Error(), current[:8]) || strings.Contains(err.Error(), previous[:8]):
			t.Errorf("%s: the error shows a value: %v", text, err)
		}
	}
	if token := static(t, `{"current":"`+current+`","previous":"`+previous+`"}`); len(token.all()) != 2 {
		t.Errorf("%d tokens stand", len(token.all()))
	}
}

func FuzzPlainText(f *testing.F) {
	f.Add(`{"token":"` + current + `"}`)
	f.Add(current)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := plainText(text)
		if err == nil && plain != text && !json.Valid([]byte(text)) {
			t.Errorf("%q became %q", text, plain)
		}
	})
}

func TestDevices(t *testing.T) {
	for _, c := range []struct {
		text    string
		has     string // separated by |
		lacks   string
		refused string // what the error says
	}{
		{text: "", has: "pump-7|*|valve"},
		{text: "pump-7", has: "pump-7", lacks: "pump-70|pump-|PUMP-7|pump-7 | pump-7|valve||*|pump-7\x00|pump-7/../valve"},
		{text: " pump-7 ,\tvalve-* \n", has: "pump-7|valve-|valve-1|valve-1/2|valve-*", lacks: "pump-7 |Valve-1|xvalve-1|valve"},
		{text: "halle 3/pumpe?#é%2F", has: "halle 3/pumpe?#é%2F", lacks: "halle 3/pumpe?#é/|halle"},
		{text: "*", has: "pump-7|*|x"},
		{text: "pump-7,pump-7", has: "pump-7", lacks: "x"},
		{text: strings.Repeat("x", hotreader.MaxDeviceBytes), lacks: "x"},
		{text: " ", refused: "entry 1 is empty"},
		{text: ",", refused: "entry 1 is empty"},
		{text: "pump-7,", refused: "entry 2 is empty"},
		{text: "pump-7,,valve", refused: "entry 2 is empty"},
		{text: "*-7", refused: `entry 1, "*-7", has a * before its end`},
		{text: "a,pump**", refused: "entry 2"},
		{text: "pump-\xff", refused: "UTF-8"},
		{text: strings.Repeat("x", hotreader.MaxDeviceBytes+1), refused: "up to 2048 bytes"},
	} {
		d, err := ParseDevices(c.text)
		if c.refused != "" {
			if d != nil || err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%.40q: %v, %v; want %q", c.text, d, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.40q: %v", c.text, err)
		}
		for id := range strings.SplitSeq(c.has, "|") {
			if c.has != "" && !d.Has(id) {
				t.Errorf("%.40q lacks %q", c.text, id)
			}
		}
		for id := range strings.SplitSeq(c.lacks, "|") {
			if c.lacks != "" && d.Has(id) {
				t.Errorf("%.40q has %q", c.text, id)
			}
		}
	}
}

type asked []string

func (a *asked) Scan(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	*a = append(*a, q.Device)
	return func(func(hotreader.Row, error) bool) {}
}

func TestGuard(t *testing.T) {
	a := new(asked)
	if all := (Devices{}).Guard(a); all != hotreader.Source(a) {
		t.Error("no list is a list")
	}
	r := Devices{"pump-*"}.Guard(a)
	for _, id := range []string{"valve", "", "pump", "pump-1"} {
		var got error
		n := 0
		for _, err := range r.Scan(t.Context(), hotreader.Query{Device: id}) {
			got = err
			n++
		}
		if id == "pump-1" {
			if n != 0 {
				t.Errorf("%q: %v", id, got)
			}
		} else if n != 1 || !errors.Is(got, hotreader.CodeForbidden) {
			t.Errorf("%q: %d, %v", id, n, got)
		}
	}
	if len(*a) != 1 || (*a)[0] != "pump-1" {
		t.Errorf("the reader was asked for %q", *a)
	}
}

// The first key signs, all are taken, and a token of another one has them fetched again.
func TestPageKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value := current
		key, err := Fetched(t.Context(), func(context.Context) (string, time.Time, error) { return value, time.Time{}, nil })
		if err != nil {
			t.Fatal(err)
		}
		keys := PageKeys{key, nil, static(t, previous)}
		if got, want := keys.Keys("x"), append(key.Keys("x"), keys[2].Keys("x")...); !reflect.DeepEqual(got, want) {
			t.Errorf("%x, want %x", got, want)
		}
		value = next + "," + current
		if keys.Renew(t.Context()) {
			t.Error("fetched again at once")
		}
		time.Sleep(refetch)
		if !keys.Renew(t.Context()) || len(keys.Keys("x")) != 3 || keys.Renew(t.Context()) {
			t.Errorf("%d keys", len(keys.Keys("x")))
		}
	})
}

// A peer may give the token back in any form.
func TestHide(t *testing.T) {
	r := shown(current)
	half := len(current) / 2
	for _, echo := range []string{current, current[:half] + " " + current[half:], fmt.Sprintf("%x", current), fmt.Sprintf("%X", current[:half]), "x" + current[3:],
		base64.StdEncoding.EncodeToString([]byte(current)), base64.URLEncoding.EncodeToString([]byte("abc: " + current))} {
		text := Hide(r, "no: "+echo+"!")
		for i := range len(echo) - 16 {
			if strings.Contains(text, echo[i:i+16]) && echo[i:i+16] != base64.URLEncoding.EncodeToString([]byte("abc: " + current))[:16] {
				t.Errorf("%s: %s", echo, text)
				break
			}
		}
		if !strings.HasPrefix(text, "no: ") || !strings.HasSuffix(text, "!") {
			t.Error(text)
		}
	}
	if text := "the token is wrong; see https://docs.example.com/token-of-the-api"; Hide(r, text) != text {
		t.Error(Hide(r, text))
	}
}
