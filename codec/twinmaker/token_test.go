package twinmaker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/internal/pagetoken"
)

var someKey = []byte("0123456789abcdef0123456789abcdef")

func keyed(r hotreader.Reader, keys ...string) *Responder {
	return &Responder{Reader: r, Keys: func() (all [][]byte) {
		for _, k := range keys {
			all = append(all, []byte(k))
		}
		return all
	}}
}

// tokenRequests are requests of each kind, with the token of the second page.
func tokenRequests(t testing.TB, responder *Responder) []Request {
	t.Helper()
	rows, steps := ask("a", "b"), ask("a", "b")
	steps.Interpolation = 2 * time.Second
	var all []Request
	for _, req := range []Request{rows, steps} {
		req.Query.Start, req.Query.End = instant(t, "2024-03-01T00:00:00Z"), instant(t, "2024-03-01T01:00:00Z")
		req.Query.Types = []hotreader.Type{hotreader.Double, hotreader.Untyped}
		req.Query.Filters = []hotreader.Filter{{Property: "a", Op: hotreader.GreaterEqual, Value: hotreader.Int64Value(0)}}
		req.MaxResults = 20
		a, body := history(t, responder, req)
		if a.NextToken == nil {
			t.Fatalf("no nextToken in %s", body)
		}
		req.NextToken = *a.NextToken
		all = append(all, req)
	}
	return all
}

func TestTokenIsBoundToItsQuery(t *testing.T) {
	responder := keyed(seconds(1000, "a", "b"), string(someKey))
	for _, req := range tokenRequests(t, responder) {
		for name, change := range map[string]func(*Request){
			"device":             func(r *Request) { r.Query.Device = "d2" },
			"properties":         func(r *Request) { r.Query.Properties = []string{"b", "a"} },
			"fewer properties":   func(r *Request) { r.Query.Properties, r.Query.Types = []string{"a"}, r.Query.Types[:1] },
			"types":              func(r *Request) { r.Query.Types = []hotreader.Type{hotreader.Integer, hotreader.Untyped} },
			"start":              func(r *Request) { r.Query.Start = r.Query.Start.Add(1) },
			"end":                func(r *Request) { r.Query.End = r.Query.End.Add(1) },
			"open end":           func(r *Request) { r.Query.End = time.Time{} },
			"order":              func(r *Request) { r.Query.Order = hotreader.Descending },
			"no filter":          func(r *Request) { r.Query.Filters = nil },
			"filter's operator":  func(r *Request) { r.Query.Filters[0].Op = hotreader.Greater },
			"filter's value":     func(r *Request) { r.Query.Filters[0].Value = hotreader.Int64Value(1) },
			"filter's kind":      func(r *Request) { r.Query.Filters[0].Value = hotreader.StringValue([]byte("0")) },
			"filter's property":  func(r *Request) { r.Query.Filters[0].Property = "b" },
			"interpolation":      func(r *Request) { r.Interpolation += time.Second },
			"no interpolation":   func(r *Request) { r.Interpolation = max(0, 2*time.Second-r.Interpolation) },
			"entity":             func(r *Request) { r.Ref.EntityID = "e2" },
			"component":          func(r *Request) { r.Ref.ComponentName = "c2" },
			"entity → component": func(r *Request) { r.Ref = Reference{EntityID: "ec", ComponentName: ""} },
			"external id":        func(r *Request) { r.Ref = Reference{ExternalNames: []string{"id"}} },
		} {
			changed := req
			changed.Query.Filters = append([]hotreader.Filter(nil), req.Query.Filters...)
			change(&changed)
			if _, err := responder.AppendHistory(t.Context(), nil, changed); !errors.Is(err, hotreader.CodeInvalid) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		for name, change := range map[string]func(*Request){
			"maxResults":        func(r *Request) { r.MaxResults = 7 },
			"all that there is": func(r *Request) { r.MaxResults = 0 },
			"the time's zone": func(r *Request) {
				r.Query.Start = r.Query.Start.In(time.FixedZone("", 3600))
			},
		} {
			changed := req
			change(&changed)
			if _, err := responder.AppendHistory(t.Context(), nil, changed); err != nil {
				t.Errorf("%s: error %v", name, err)
			}
		}
	}
}

func TestTokenSurvivesRotation(t *testing.T) {
	r := seconds(100, "a", "b")
	for _, req := range tokenRequests(t, keyed(r, "old")) {
		for name, c := range map[string]struct {
			responder *Responder
			ok        bool
		}{
			"a redeploy":                   {keyed(r, "old"), true},
			"a new key before the old one": {keyed(r, "new", "old"), true},
			"the old key gone":             {keyed(r, "new"), false},
			"no keys":                      {&Responder{Reader: r}, false},
		} {
			_, err := c.responder.AppendHistory(t.Context(), nil, req)
			if c.ok && err != nil || !c.ok && !errors.Is(err, hotreader.CodeInvalid) {
				t.Errorf("%s: error %v", name, err)
			}
		}
		// What is signed under both keys is signed with the new one.
		a, _ := history(t, keyed(r, "new", "old"), req)
		req.NextToken = *a.NextToken
		if _, err := keyed(r, "new").AppendHistory(t.Context(), nil, req); err != nil {
			t.Error(err)
		}
		if _, err := keyed(r).AppendHistory(t.Context(), nil, req); !errors.Is(err, hotreader.CodeConfig) {
			t.Errorf("there is no key at all, but the error is %v", err)
		}
	}
}

func TestTokenRefused(t *testing.T) {
	responder := keyed(seconds(100, "a", "b"), string(someKey))
	for _, req := range tokenRequests(t, responder) {
		token := req.NextToken
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || strings.ContainsAny(token, "=+/") {
			t.Fatalf("token %q is not base64url: %v", token, err)
		}
		refused := func(name, token, says string) {
			t.Helper()
			req := req
			req.NextToken = token
			_, err := responder.AppendHistory(t.Context(), nil, req)
			if !errors.Is(err, hotreader.CodeInvalid) || !strings.HasPrefix(cause(err), "nextToken ") || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: error %v; want one that says %q", name, err, says)
			}
		}
		for i := range raw {
			for bit := range 8 {
				raw[i] ^= 1 << bit
				refused("a changed bit", base64.RawURLEncoding.EncodeToString(raw), "")
				raw[i] ^= 1 << bit
			}
		}
		for n := 1; n < len(token); n++ {
			refused("cut", token[:n], "")
		}
		for i := range len(token) {
			c := byte('A')
			if token[i] == c {
				c = 'B'
			}
			refused("a changed character", token[:i]+string(c)+token[i+1:], "")
		}
		refused("a line break", token[:8]+"\n"+token[8:], "not one of ours")
		refused("padding", token+"=", "not one of ours")
		refused("blanks", " "+token, "not one of ours")
		refused("a longer one", token+"AAAA", "")
		refused("nonsense", "qwertyuiop", "not one of ours")
		refused("a JSON token", `{"LastEvaluatedKey":{}}`, "not one of ours")
		raw[0]++
		refused("another version", base64.RawURLEncoding.EncodeToString(raw), "of version 3")
		raw[0]--
	}
}

// A token of a fleet reaches no device that is not of the type.
func TestPublicTokensReachNoOtherDevice(t *testing.T) {
	reader := &onlyOf{hotreader.NewReader(filled(t, []int{2, 2})), "mixer", t}
	for _, device := range []string{"boiler", "nobody", mixer(9)} {
		req := mixers(devicesOf(t, 2), "a")
		p := &position{kind: rowsPosition, fates: []fate{0}, device: device, own: []fate{0}, last: time.Unix(1, 0), types: []hotreader.Type{hotreader.Double}}
		req.Query.Types = p.types
		token, err := appendToken(nil, []byte(publicKey), binding(&req), p)
		if err != nil {
			t.Fatal(err)
		}
		req.NextToken = string(token)
		if body, err := (&Responder{Reader: reader}).AppendHistory(t.Context(), nil, req); err != nil || strings.Contains(string(body), device) {
			t.Errorf("%s: %s, %v", device, body, err)
		}
	}
}

// TestPublicTokensCannotWidenAQuery: a token signed with the public key reaches nothing
// outside of its query.
func TestPublicTokensCannotWidenAQuery(t *testing.T) {
	r := seconds(100, "a")
	req := ask("a")
	req.Query.Start, req.Query.End = r.rows[50].Time, r.rows[60].Time
	for name, p := range map[string]*position{
		"before the start":     {kind: rowsPosition, last: r.rows[10].Time, types: []hotreader.Type{hotreader.AnyNumber}},
		"behind the end":       {kind: rowsPosition, last: r.rows[70].Time, types: []hotreader.Type{hotreader.AnyNumber}},
		"a type there is not":  {kind: rowsPosition, last: r.rows[55].Time, types: []hotreader.Type{77}},
		"too few types":        {kind: rowsPosition, last: r.rows[55].Time},
		"steps":                {kind: stepsPosition, read: r.rows[55].Time, tracks: make([]track, 1)},
		"a kind there is not":  {kind: 9},
		"steps before a start": {kind: stepsPosition, read: r.rows[10].Time, tracks: make([]track, 1)},
	} {
		req := req
		if strings.HasPrefix(name, "steps before") {
			req.Interpolation = time.Second
		}
		p.fates = []fate{given}
		token, err := appendToken(nil, []byte(publicKey), binding(&req), p)
		if err != nil {
			t.Fatal(err)
		}
		req.NextToken = string(token)
		for _, order := range []hotreader.Order{hotreader.Ascending} {
			req.Query.Order = order
			if body, err := (&Responder{Reader: r}).AppendHistory(t.Context(), nil, req); !errors.Is(err, hotreader.CodeInvalid) {
				t.Errorf("%s: %s, %v", name, body, err)
			}
		}
	}
}

// TestTokenStaysShort: even for ten properties with long numbers. A token that would be
// too long is an error.
func TestTokenStaysShort(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	start := time.Date(2024, 3, 1, 0, 0, 0, 999_999_999, time.UTC)
	r := &rowsReader{names: names}
	digits := strings.Repeat("9", 100) + "." + strings.Repeat("9", 27)
	for i := range 10 {
		row := hotreader.Row{Time: start.Add(time.Duration(i) * time.Second)}
		for range names {
			row.Values = append(row.Values, hotreader.NumberValue([]byte(digits)))
		}
		r.rows = append(r.rows, row)
	}
	req := ask(names...)
	req.Query.Start, req.Interpolation, req.MaxResults = start.Add(-time.Second/2), time.Second, 20
	a, _ := history(t, &Responder{Reader: r}, req)
	if a.NextToken == nil || len(*a.NextToken) > MaxTokenChars {
		t.Fatalf("token %v", a.NextToken)
	}
	if _, pages := follow(t, &Responder{Reader: r}, req); pages != 5 {
		t.Errorf("%d pages", pages)
	}

	p := &position{kind: stepsPosition, tracks: make([]track, 100)}
	for i := range p.tracks {
		p.tracks[i] = track{hasSettled: true, hasPending: true, settled: point{start, []byte(digits)}, pending: point{start, []byte(digits)}}
	}
	if _, err := appendToken(nil, someKey, nil, p); !errors.Is(err, hotreader.CodeTooLarge) {
		t.Errorf("error %v", err)
	}
}

// TestLongNumbersInSteps: a number with more digits than a token can carry is shortened to
// a double, the same on each page.
func TestLongNumbersInSteps(t *testing.T) {
	r := rowsOf(t, `
		a
		2024-03-01T00:00:00Z 0.`+strings.Repeat("3", 200)+`
		2024-03-01T00:00:04Z 0.`+strings.Repeat("3", 128)+`
		2024-03-01T00:00:08Z 0.`+strings.Repeat("3", 126))
	req := ask("a")
	req.Query.Start, req.Interpolation = r.rows[0].Time, 2*time.Second
	whole, _ := follow(t, &Responder{Reader: r}, req)
	req.MaxResults = 1
	paged, pages := follow(t, &Responder{Reader: r}, req)
	if show(paged) != show(whole) || pages != 5 {
		t.Errorf("in %d pages %s; want %s", pages, show(paged), show(whole))
	}
	if last := whole[0][4]; len(last) < 126 || !strings.HasSuffix(whole[0][0], " 0.3333333333333333") {
		t.Errorf("%s", show(whole))
	}
}

// onlyOf is a Reader that no other device may be asked of.
type onlyOf struct {
	hotreader.Reader
	prefix string
	t      failer
}

func (o *onlyOf) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if !strings.HasPrefix(q.Device, o.prefix) {
		o.t.Fatalf("device %q was read", q.Device)
	}
	return o.Reader.Read(ctx, q)
}

// FuzzToken: without the key, every token is rejected. With it, no token makes the reader
// panic or answer invalid JSON; one may say that no value came before, and then the rest may
// have none of its property's type.
func FuzzToken(f *testing.F) {
	r := seconds(50, "a", "b")
	responder := keyed(r, string(someKey))
	for _, req := range tokenRequests(f, responder) {
		raw, _ := base64.RawURLEncoding.DecodeString(req.NextToken)
		f.Add([]byte(req.NextToken), raw[1:len(raw)-32])
	}
	f.Add([]byte(""), []byte{stepsPosition, 1, 2, 0, 0, 0, trackDone, trackSettled | trackPending})
	f.Add([]byte("AQ"), []byte{rowsPosition, 3, 0, 0, 0, 1, 1})
	fleet, fleetReader := devicesOf(f, 3), hotreader.NewReader(filled(f, []int{2, 0, 2}))
	f.Add([]byte(""), append([]byte{devicePosition, 0, 0, 10}, mixer(0)+"\x01\x00\x00"...))
	f.Add([]byte(""), append([]byte{rowsPosition, 1, 0, 6}, "boiler\x01\x00\x01\x00\x00\x04\x04"...))
	f.Add([]byte("0"), []byte("\x02\x01\x000\x80\xea\x88\xde\f0\x0300\x04100000\x041000\x0300\x04100000\x041000"))
	f.Fuzz(func(t *testing.T, token, payload []byte) {
		all := mixers(fleet, "a", "b")
		raw := append([]byte{tokenVersion}, payload...)
		all.NextToken = pagetoken.Sign(raw, someKey, append(binding(&all), raw...), sha256.Size)
		reader := keyed(&onlyOf{fleetReader, "mixer", t}, string(someKey))
		if body, err := reader.AppendHistory(t.Context(), nil, all); err == nil && !json.Valid(body) || err != nil && !errors.Is(err, hotreader.CodeInvalid) {
			t.Fatalf("signed %x: %s, %v", payload, body, err)
		}
		for _, interval := range []time.Duration{0, 3 * time.Second} {
			req := ask("a", "b")
			req.Query.Start, req.Query.Types = r.rows[0].Time, []hotreader.Type{hotreader.Untyped, hotreader.Long}
			req.Interpolation, req.MaxResults = interval, 8
			req.NextToken = string(token)
			if _, err := keyed(r, "another key").AppendHistory(t.Context(), nil, req); len(token) > 0 && !errors.Is(err, hotreader.CodeInvalid) {
				t.Fatalf("the forged token %q: error %v", token, err)
			}
			raw := append([]byte{tokenVersion}, payload...)
			req.NextToken = pagetoken.Sign(raw, someKey, append(binding(&req), raw...), sha256.Size)
			body, err := responder.AppendHistory(t.Context(), nil, req)
			if err == nil && !json.Valid(body) || err != nil && !errors.Is(err, hotreader.CodeInvalid) && !errors.Is(err, hotreader.CodeUnreadable) {
				t.Fatalf("signed %x: %s, %v", payload, body, err)
			}
		}
	})
}
