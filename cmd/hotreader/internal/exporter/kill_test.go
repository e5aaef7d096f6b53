package exporter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/boltstore"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
)

// killed is the environment variable by which this test's program exports, and dies at a
// step: those before and after each object, as an order of the parent says.
const killed = "HOTREADER_TEST_EXPORT"

// An order is what the parent asks for.
type order struct {
	Store, To string
	Die       int // at this step; 0 = at none. Each object has three: before it, within, after
}

func TestMain(m *testing.M) {
	text := os.Getenv(killed)
	if text == "" {
		os.Exit(m.Run())
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	if err := o.export(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (o order) export(ctx context.Context) error {
	source, err := boltstore.Open(o.Store, boltstore.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	target, err := folder.Create(o.To)
	if err != nil {
		return err
	}
	listed, err := source.Devices(ctx, "", "", 10)
	if err != nil {
		return err
	}
	options := Options{Source: source, Target: &deadly{target, o.To, o.Die}, From: "bolt:hot.db", To: "file:cold", End: began.AddDate(1, 0, 0), ObjectRows: 300, GroupRows: 100}
	for _, d := range listed {
		options.Devices = append(options.Devices, Device{ID: d.ID, Properties: d.Properties})
	}
	return Run(ctx, options, func(Result) error { return nil })
}

// deadly is a target whose program is killed at a step.
type deadly struct {
	coldstore.Target
	to   string
	left int
}

func (d *deadly) step(do func() error) {
	if d.left--; d.left == 0 {
		if err := do(); err != nil {
			panic(err)
		}
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {}
	}
}

func (d *deadly) Put(ctx context.Context, key string, body []byte) (bool, error) {
	nothing := func() error { return nil }
	d.step(nothing)
	d.step(func() error { // half of it is written
		dir, name := filepath.Split(filepath.Join(d.to, key))
		return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"."+name+".part", body[:len(body)/2], 0o644))
	})
	ok, err := d.Target.Put(ctx, key, body)
	d.step(nothing)
	return ok, err
}

// An export that is killed again and again, at steps and at random moments, and run again
// each time, ends with the bytes of one that was not.
func TestKilled(t *testing.T) { kill(t, 20) }

func kill(t *testing.T, kills int) {
	dir := t.TempDir()
	hot, err := boltstore.Open(dir+"/hot.db", boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for device, records := range map[string][]hotreader.Record{"a": series(2000), "b": odd(), "c": series(900)} {
		if err := hot.Write(t.Context(), device, records); err != nil {
			t.Fatal(err)
		}
	}
	if err := hot.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (order{Store: dir + "/hot.db", To: dir + "/whole"}).export(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := tree(t, dir+"/whole")
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	took := time.Second / 5
	for n, round := 0, 0; n < kills; round++ {
		to := fmt.Sprint(dir, "/killed", round)
		for ended := false; !ended; {
			o := order{Store: dir + "/hot.db", To: to}
			after := time.Minute
			switch {
			case n >= kills:
			case n%2 == 0:
				o.Die = 1 + random.IntN(6)
			default:
				after = rand.N(took)
			}
			began := time.Now()
			if ended = run(t, o, after); ended {
				took = time.Since(began)
			} else {
				n++
			}
		}
		if got := tree(t, to); !maps.Equal(got, want) {
			t.Fatalf("after %d kills (seed %d): %d objects, want %d of the same bytes", n, seed, len(got), len(want))
		}
	}
}

// run runs an export in a process of its own, and reports whether it came to its end.
func run(t *testing.T, o order, after time.Duration) (ended bool) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), killed+"="+string(text))
	out, err := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode() // less than 0: it was killed. It may end just as it is to be killed
	if code > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	return code == 0
}
