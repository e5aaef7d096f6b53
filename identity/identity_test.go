package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

func shown(tokens ...string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, "https://api.example.com", nil) // the address is valid
	if tokens != nil {
		r.Header[TokenHeader] = tokens
	}
	return r
}

// A caller is one of the active tokens, with their devices; all who are none are
// refused alike.
func TestSharedVerifies(t *testing.T) {
	v := Shared{Token: static(t, current+","+previous), Devices: Devices{"pump-*"}}
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

// What is refused is fetched again, by either side, and what was sent is never
// told.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		value, fail := current, error(nil)
		token, err := Fetched(t.Context(), func(context.Context) (string, time.Time, error) { return value, time.Time{}, fail })
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		v := Shared{Token: token, Logger: slog.New(slog.NewTextHandler(&log, nil))}
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
		cancel() // who hangs up prevents nothing
		if caller, err := v.Verify(shown(next).WithContext(gone)); err != nil || caller.Name != "current" {
			t.Errorf("%+v, %v", caller, err)
		}
		if again, err := token.Refused(t.Context(), sent); !again || err != nil {
			t.Errorf("again %v, %v: there is another", again, err)
		}
	})
}
