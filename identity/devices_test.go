package identity

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"hotreader"
)

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
