package deploy

import (
	"path/filepath"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"

	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
)

// What a killed run has made is taken in; what the cloud refused to make, since
// it was there, is somebody else's.
func TestOnlyWhatIsOursIsTakenIn(t *testing.T) {
	const twin, bucket, role = "mill", "module.hotreader.aws_s3_bucket.twin[0]", `module.hotreader.aws_iam_role.function["hot-reader"]`
	tagged := map[string]any{render.TwinTag: twin}
	none := map[string]any{}
	for _, c := range []struct {
		name, address, kind string
		killed              bool // or refused by the cloud
		tags                map[string]any
		ours                bool
	}{
		{"a bucket with its tag", bucket, "aws_s3_bucket", true, tagged, true},
		{"a bucket, killed before its tag", bucket, "aws_s3_bucket", true, none, true},
		{"a bucket that was there", bucket, "aws_s3_bucket", false, none, false},
		{"a bucket of another twin", bucket, "aws_s3_bucket", true, map[string]any{render.TwinTag: "other"}, false},
		{"a bucket with other tags", bucket, "aws_s3_bucket", true, map[string]any{"team": "x"}, false},
		{"a role with its tag, though refused", role, "aws_iam_role", false, tagged, true},
		{"a role without", role, "aws_iam_role", true, none, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &folder{home: t.TempDir(), cloud: config.AWS}
			j, err := openJournal(filepath.Join(f.home, journalFile))
			if err != nil {
				t.Fatal(err)
			}
			j.add(c.address)
			if !c.killed {
				j.fail(c.address)
				if err := j.end(false, true); err != nil {
					t.Fatal(err)
				}
			}
			begun, err := f.begun()
			if err != nil {
				t.Fatal(err)
			}
			refused, found := begun[c.address]
			if !found || refused == c.killed || len(begun) != 1 {
				t.Fatalf("the journal says %v", begun)
			}
			w := &work{top: topology.Topology{Twin: twin}}
			r := &tfjson.ResourceChange{Address: c.address, Type: c.kind, Change: &tfjson.Change{Before: map[string]any{"bucket": "b", "name": "n", "tags_all": c.tags}}}
			if err := w.own(f, r, refused); (err == nil) != c.ours {
				t.Errorf("taken in: %v, want %v (%v)", err == nil, c.ours, err)
			}
		})
	}
}

// What a killed run has left in doubt stays so when the next apply fails before it
// has begun with anything, and is settled by one that goes well.
func TestDoubtOutlivesAnApplyThatFails(t *testing.T) {
	f := &folder{home: t.TempDir(), cloud: config.AWS}
	name := filepath.Join(f.home, journalFile)
	killed, err := openJournal(name)
	if err != nil {
		t.Fatal(err)
	}
	killed.add("a")
	killed.add("b")
	killed.fail("b")
	if err := killed.end(false, false); err != nil {
		t.Fatal(err)
	}
	next, err := openJournal(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.end(false, true); err != nil {
		t.Fatal(err)
	}
	if begun, err := f.begun(); err != nil || len(begun) != 2 || begun["a"] || !begun["b"] {
		t.Errorf("the journal says %v, %v", begun, err)
	}
	last, err := openJournal(name)
	if err != nil {
		t.Fatal(err)
	}
	last.add("b")
	last.done("b")
	if err := last.end(true, true); err != nil {
		t.Fatal(err)
	}
	if begun, err := f.begun(); err != nil || len(begun) != 0 {
		t.Errorf("after an apply that went well the journal says %v, %v", begun, err)
	}
}
