package deploy

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/topology"
)

const secretStands = `{"module":"module.hotreader","mode":"managed","type":"aws_secretsmanager_secret_version","name":"token","provider":"provider[\"terraform.io/builtin/terraform\"]","instances":[{"index_key":0,"attributes":{}}]}`

// A token that is in use is not replaced because the credentials file is lost.
func TestLostConnectionFileIsNoNewToken(t *testing.T) {
	e, work := stood(t, secretStands)
	touch(t, work, "aws", "terraform.tfstate")
	_, err := e.Plan(t.Context())
	if !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "bring the file back") {
		t.Errorf("plan: %v", err)
	}
	e.Only = config.AWS
	err = e.Deploy(t.Context())
	if !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "bring the file back") {
		t.Errorf("deploy: %v", err)
	}
	if _, err := os.Stat(filepath.Join(e.Project.Dir, "config_inter_cloud.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a credentials file was written: %v", err)
	}
	if _, err := os.Stat(filepath.Join(e.Work, "aws", "applied")); !errors.Is(err, os.ErrNotExist) {
		t.Error("it was applied")
	}
}

// The first deploy has nothing to lose.
func TestFirstDeployMakesAToken(t *testing.T) {
	e, _ := stood(t, "")
	e.Only = config.AWS
	if err := os.WriteFile(filepath.Join(filepath.Dir(e.Work), "dies"), []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A side that was planned and never deployed causes no question.
func TestPlannedSideDoesNotStand(t *testing.T) {
	e, work := stood(t, secretStands)
	e.Only = config.AWS
	touch(t, e.Work, "gcp", "main.tf.json")
	touch(t, e.Work, "gcp", "module", "versions.tf")
	w, end, err := e.begin("destroy")
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := w.unneeded(t.Context()); err != nil {
		t.Errorf("planned: %v", err)
	}
	side := w.top.Sides[slices.IndexFunc(w.top.Sides, func(s topology.Side) bool { return s.Cloud == config.GCP })]
	if st, _, err := w.sideStatus(t.Context(), side); err != nil || st.Deployed {
		t.Errorf("the status of what was planned: %+v, %v", st, err)
	}
	touch(t, work, "gcp", "terraform.tfstate")
	if err := w.unneeded(t.Context()); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "--only gcp") {
		t.Errorf("deployed: %v", err)
	}
}

// What never stood is not said to be destroyed.
func TestNothingIsDestroyed(t *testing.T) {
	e, _ := stood(t, "")
	removed, err := e.Destroy(t.Context(), false)
	if err != nil || removed {
		t.Errorf("removed %v, %v", removed, err)
	}
}
