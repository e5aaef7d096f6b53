package deploy

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/render"
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

// asked is an operator that answers what it is asked, and keeps it.
type asked struct {
	Unattended
	answer bool
	plans  []SidePlan
}

func (a *asked) Approve(_ context.Context, p SidePlan) (bool, error) {
	a.plans = append(a.plans, p)
	return a.answer, nil
}

// What a stopped run has left is shown, and asked for, before destroy changes anything.
func TestDestroyAsksBeforeItTakesIn(t *testing.T) {
	const role = `module.hotreader.aws_iam_role.function["hot-reader"]`
	for _, answer := range []bool{false, true} {
		e, _ := stood(t, "")
		if err := os.WriteFile(e.Terraform, []byte(`#!/bin/sh
# Stands in for Terraform: of what a stopped run has begun, the cloud has a role.
case $1 in
version) echo '{"terraform_version":"1.11.4"}';;
init) mkdir -p .terraform;;
plan) exit 2;;
show)
	action=create; if grep -q aws_iam_role import.tf.json; then action='no-op"],"importing":{"id":"hall"},"x":["'; fi
	echo '{"format_version":"1.2","resource_changes":[{"address":"module.hotreader.aws_iam_role.function[\"hot-reader\"]","mode":"managed","type":"aws_iam_role","change":{"actions":["'$action'"],"before":{"name":"hall","tags_all":{"`+render.TwinTag+`":"hall"}},"after":{"name":"hall"}}}]}';;
apply) echo "$@" >>../../applied;;
state) echo '{"version":4,"outputs":{},"resources":[]}';;
*) exit 1;;
esac
`), 0o755); err != nil {
			t.Fatal(err)
		}
		o := &asked{answer: answer}
		e.Only, e.Operator = config.AWS, o
		touch(t, e.Project.Dir, ".hotreader", "aws", journalFile)
		name := filepath.Join(e.Project.Dir, ".hotreader", "aws", journalFile)
		if err := os.WriteFile(name, []byte(role+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := e.Destroy(t.Context(), false)
		applied, _ := os.ReadFile(filepath.Join(filepath.Dir(e.Work), "applied"))
		if errors.Is(err, ErrDeclined) == answer || answer && err != nil || strings.Contains(string(applied), "-target="+role) != answer {
			t.Errorf("the answer is %v: %v; applied: %s", answer, err, applied)
		}
		if len(o.plans) != 1 || len(o.plans[0].Changes) != 1 || o.plans[0].Changes[0].Address != role || o.plans[0].Changes[0].Action != Destroy || len(o.plans[0].Notes) != 1 {
			t.Errorf("it is asked for %+v", o.plans)
		}
		if _, err := os.Stat(name); (err == nil) == answer {
			t.Errorf("the answer is %v; the journal: %v", answer, err)
		}
	}
}
