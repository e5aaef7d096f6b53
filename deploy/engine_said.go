package deploy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"hotreader"
	"hotreader/config"
)

// message is a line of Terraform's machine-readable output:
// https://developer.hashicorp.com/terraform/internals/machine-readable-ui
type message struct {
	Type string `json:"type"`
	Hook struct {
		Resource struct {
			Addr string `json:"addr"`
			Type string `json:"resource_type"`
		} `json:"resource"`
		Action  string  `json:"action"`
		IDValue string  `json:"id_value"`
		Elapsed float64 `json:"elapsed_seconds"`
	} `json:"hook"`
	Diagnostic *struct {
		Severity string `json:"severity"`
		Summary  string `json:"summary"`
		Detail   string `json:"detail"`
		Address  string `json:"address"`
	} `json:"diagnostic"`
}

// diagnostics reads that output: it hands on what happens and keeps what is
// wrong.
type diagnostics struct {
	on func(message)

	mu     sync.Mutex
	rest   []byte
	errors []message
	other  []string // lines that are not JSON
}

// Write takes a part of the output, of any length.
func (d *diagnostics) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rest = append(d.rest, p...)
	for {
		line, rest, ok := bytes.Cut(d.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			if text := strings.TrimSpace(string(line)); text != "" {
				d.other = append(d.other, text)
			}
		} else if m.Diagnostic != nil {
			if m.Diagnostic.Severity == "error" {
				d.errors = append(d.errors, m)
			}
		} else if d.on != nil {
			d.on(m)
		}
		d.rest = append(d.rest[:0], rest...)
	}
}

// progress reports what Terraform does to a resource.
func (f *folder) progress(ctx context.Context, m message, journal *journal) {
	r := m.Hook.Resource
	if strings.Contains(r.Addr, "data.") && m.Hook.Action == "read" {
		return
	}
	e := Event{Address: r.Addr, What: noun(r.Type), Name: cmp.Or(f.names[r.Addr], shortName(r.Addr)), Action: actionOf(m.Hook.Action), ID: m.Hook.IDValue,
		Elapsed: time.Duration(m.Hook.Elapsed * float64(time.Second))}
	switch m.Type {
	case "apply_start":
		journal.add(r.Addr)
		e.Kind = Began
	case "apply_progress":
		e.Kind = Goes
	case "apply_complete":
		journal.done(r.Addr)
		e.Kind = Done
	case "apply_errored":
		if ctx.Err() == nil { // else ^C has broken it off, and perhaps too late
			journal.fail(r.Addr)
		}
		e.Kind = Failed
	default:
		return
	}
	f.say(e)
}

// explain turns what a command of Terraform said into an error that names the
// resource, the cloud's own message and the next step.
func (f *folder) explain(ctx context.Context, what string, err error, said *diagnostics) error {
	if err == nil {
		return nil
	}
	op := string(f.cloud) + ": " + what
	if ctx.Err() != nil {
		return &hotreader.Error{Op: op, Code: hotreader.CodeOf(ctx.Err()),
			Err: errors.New("stopped; what was made so far is in the state, and the next deploy goes on from there")}
	}
	text := err.Error()
	var lines []string
	if said != nil {
		for _, m := range said.errors {
			lines = append(lines, f.describe(m))
		}
		if len(lines) == 0 {
			lines = said.other
		}
	}
	if lock := lockText(text+"\n"+detail(said), f.dir); lock != "" {
		return &hotreader.Error{Op: op, Code: hotreader.CodeOverloaded, Err: errors.New(f.scrub(lock))}
	}
	if len(lines) == 0 {
		lines = []string{plainTerraform(text)}
	}
	if remedy := signIn(f.cloud, strings.Join(lines, "\n")); remedy != "" {
		return configError(string(f.cloud), "%s", remedy)
	}
	next := "; correct it and run the same command again: it goes on from what is deployed"
	if !ended(err) {
		next = "; Terraform was killed; run the same command again: it imports what was made but not written down"
	}
	return &hotreader.Error{Op: op, Code: hotreader.CodeStore, Err: errors.New(f.scrub(strings.Join(lines, "; ") + next))}
}

// notSignedIn is what each provider says when it finds no credentials, or none
// that are still valid, and what to do then.
var notSignedIn = map[config.Cloud]struct {
	says   *regexp.Regexp
	remedy string
}{
	config.AWS: {regexp.MustCompile(`No valid credential sources found|failed to refresh cached credentials|ExpiredToken|InvalidClientTokenId|The SSO session has expired`),
		"no valid AWS credentials; name a profile with AWS_PROFILE (and sign in with `aws sso login` if it is of that kind), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and run the same command again. `aws sts get-caller-identity` shows your identity"},
	config.Azure: {regexp.MustCompile(`could not configure AzureCli Authorizer|unable to build authorizer|[Pp]lease run 'az login'|AADSTS70043|AADSTS700082`),
		"not signed in to Azure; run `az login`, or set what Terraform's azurerm provider takes from the environment, and run the same command again. `az account show` shows your identity"},
	config.GCP: {regexp.MustCompile(`could not find default credentials|invalid_grant|invalid_rapt`),
		"not signed in to Google Cloud; run `gcloud auth application-default login`, or name a key file with GOOGLE_APPLICATION_CREDENTIALS, and run the same command again"},
}

// signIn says how to sign in, if that is what text is about; else "".
func signIn(cloud config.Cloud, text string) string {
	if n, ok := notSignedIn[cloud]; ok && n.says.MatchString(text) {
		return n.remedy
	}
	return ""
}

func detail(said *diagnostics) string {
	if said == nil {
		return ""
	}
	var b strings.Builder
	for _, m := range said.errors {
		b.WriteString(m.Diagnostic.Summary + "\n" + m.Diagnostic.Detail + "\n")
	}
	return b.String()
}

// describe says what is wrong with which resource, in the cloud's own words.
func (f *folder) describe(m message) string {
	d := m.Diagnostic
	text := strings.TrimSpace(d.Summary)
	if more := strings.TrimSpace(d.Detail); more != "" {
		text += ": " + more
	}
	text = strings.Join(strings.Fields(text), " ")
	if d.Address == "" {
		return text
	}
	return fmt.Sprintf("%s (%s): %s", noun(resourceType(d.Address)), d.Address, text)
}

// scrub hides the token, should a message hold it against all expectation.
func (f *folder) scrub(text string) string {
	for part := range strings.SplitSeq(f.secret+","+f.pageKey, ",") {
		if part != "" {
			text = strings.ReplaceAll(text, part, "[token]")
		}
	}
	return text
}

var (
	lockField = regexp.MustCompile(`(?m)^[│\s]*(ID|Operation|Who|Created):\s*(.+?)\s*$`)
	colours   = regexp.MustCompile("\x1b\\[[0-9;]*m")
)

// lockText explains a state that another run has locked, "" if text is about
// something else. A lock is never broken here: its holder may be alive.
func lockText(text, dir string) string {
	if !strings.Contains(text, "Error acquiring the state lock") {
		return ""
	}
	field := map[string]string{}
	for _, m := range lockField.FindAllStringSubmatch(colours.ReplaceAllString(text, ""), -1) {
		if field[m[1]] == "" {
			field[m[1]] = m[2]
		}
	}
	since := field["Created"]
	if t, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", since); err == nil {
		since = t.UTC().Format(time.DateTime) + " UTC"
	}
	work := cmp.Or(strings.TrimPrefix(field["Operation"], "OperationType"), "a run")
	out := fmt.Sprintf("the state is locked by %s since %s (%s); wait for that run", cmp.Or(field["Who"], "another user"), cmp.Or(since, "an unknown time"), strings.ToLower(work))
	if id := field["ID"]; id != "" {
		out += "; if it is dead for certain, its lock is removed with `terraform force-unlock " + id + "` in " + dir
	}
	return out
}

// plainTerraform is the essence of what Terraform prints for people.
func plainTerraform(text string) string {
	text = colours.ReplaceAllString(text, "")
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune("│╷╵", r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}
