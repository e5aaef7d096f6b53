package security

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotreader/test/packages"
	"hotreader/test/serving"
)

var hostileFolders = flag.Int("hostile", 0, "how many random combinations of plants TestHostileFolders tries besides each alone")

// secretElsewhere is in a file that nobody asked hotreader to read.
const secretElsewhere = "SECRET-ELSEWHERE"

// hostileFolder is a project folder from a stranger, in good order but for what is
// planted, and beside it what must not be touched.
type hostileFolder struct {
	t                         *testing.T
	dir, elsewhere, home, bin string
	planted                   []string
	clash                     bool   // something was planted there before
	log                       string // what the played Terraform has seen, a line for each file beside it
}

// playedTerraform stands in for Terraform: it writes down where it works and all
// that lies there, and reads and writes the state where the root module says. It
// writes backups as Terraform does, readable by all if it may.
const playedTerraform = `#!/bin/sh
{ echo "at $PWD"; find . ! -name . | sed 's/^/has /'; if grep -rq ` + secretElsewhere + ` .; then echo "has the secret"; fi; } >>'LOG'
state=$(sed -n 's/.*"path": "\(.*\)".*/\1/p' main.tf.json 2>/dev/null)
for a in "$@"; do case $a in -var-file=*) vars=${a#-var-file=};; -backup=*|-state*) echo "flag $a" >>'LOG';; esac; done
case $1 in
version) echo '{"terraform_version":"1.11.4"}';;
init) mkdir -p .terraform;;
plan) if cmp -s "$vars" applied; then echo '{}' >plan; exit 0; fi; echo '{}' >plan; exit 2;;
show) echo '{"format_version":"1.2","resource_changes":[{"address":"module.hotreader.x_secret.token","mode":"managed","type":"x_secret","change":{"actions":["update"],"before":{"v":1},"after":{"v":2}}}]}';;
apply)
	cp "$vars" applied
	echo '{"version":4,"outputs":{"url":{"value":"https://127.0.0.1:1/read"}},"resources":[{"module":"module.hotreader","mode":"managed","type":"aws_iam_role","name":"r","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[{}]}]}' >"$state"
	cp "$state" "$state.backup"; cp "$state" "$state.1700000000.backup";;
state) if [ -s "$state" ]; then cat "$state"; fi;;
esac
`

func newHostileFolder(t *testing.T) *hostileFolder {
	h := &hostileFolder{t: t, dir: t.TempDir(), elsewhere: t.TempDir(), home: t.TempDir(), bin: t.TempDir()}
	h.log = filepath.Join(h.home, "log")
	h.write(h.bin, "terraform", strings.ReplaceAll(playedTerraform, "LOG", h.log), 0o755)
	packages.Write(t, h.bin, "hotreader-lambda-arm64.zip", "hotreader-cloudrun.tar")
	h.write(h.elsewhere, "precious", `{"version":4}`, 0o644)
	h.write(h.elsewhere, "secret.json", `{"digital_twin_name":"`+secretElsewhere+`"}`, 0o644)
	h.write(h.elsewhere, "folder/inside", "inside", 0o644)
	h.must(os.Chmod(filepath.Join(h.elsewhere, "folder"), 0o755))
	h.plant("config.json", `{"digital_twin_name":"hall"}`)
	h.plant("config_providers.json", `{"layer_3_hot_provider":"aws","layer_4_provider":"gcp"}`)
	h.plant("config_iot_devices.json", `[{"id":"pump-7","properties":[{"name":"temperature","dataType":"DOUBLE"}]}]`)
	h.plant("config_hot_reader.json", `{"aws":{"region":"eu-central-1"}}`)
	h.planted = nil
	return h
}

func (h *hostileFolder) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hostileFolder) write(dir, name, text string, mode fs.FileMode) {
	h.t.Helper()
	name = filepath.Join(dir, name)
	h.must(os.MkdirAll(filepath.Dir(name), 0o755))
	_ = os.Remove(name)
	h.must(os.WriteFile(name, []byte(text), mode))
	h.must(os.Chmod(name, mode))
}

// free reports whether nothing was planted under name, nor above or below it, and
// marks it.
func (h *hostileFolder) free(name string) bool {
	for _, other := range h.planted {
		if strings.HasPrefix(other+"/", name+"/") || strings.HasPrefix(name+"/", other+"/") {
			h.clash = true
			return false
		}
	}
	h.planted = append(h.planted, name)
	return true
}

func (h *hostileFolder) plant(name, text string) {
	h.t.Helper()
	if h.free(name) {
		h.write(h.dir, name, text, 0o600)
	}
}

// program plants one that leaves a trace when it is run.
func (h *hostileFolder) program(name string) {
	h.t.Helper()
	if !h.free(name) {
		return
	}
	h.write(h.dir, name, "#!/bin/sh\ntouch '"+filepath.Join(h.elsewhere, "ran")+"'\n", 0o755)
}

// put makes something else than a file under name.
func (h *hostileFolder) put(name string, make func(path string) error) {
	h.t.Helper()
	if !h.free(name) {
		return
	}
	name = filepath.Join(h.dir, name)
	h.must(os.RemoveAll(name))
	h.must(os.MkdirAll(filepath.Dir(name), 0o755))
	h.must(make(name))
}

func (h *hostileFolder) link(name, to string) {
	h.t.Helper()
	h.put(name, func(path string) error { return os.Symlink(filepath.Join(h.elsewhere, to), path) })
}

func (h *hostileFolder) name(name, of string) {
	h.t.Helper()
	h.put(name, func(path string) error { return os.Link(filepath.Join(h.elsewhere, of), path) })
}

func (h *hostileFolder) pipe(name string) {
	h.t.Helper()
	h.put(name, func(path string) error { return syscall.Mkfifo(path, 0o600) })
}

// state plants a state with one resource.
func (h *hostileFolder) state(module, kind, name, provider string) {
	h.t.Helper()
	h.plant(".hotreader/aws/terraform.tfstate", fmt.Sprintf(`{"version":4,"serial":1,"lineage":"x","outputs":{},"resources":[{"module":%q,"mode":"managed","type":%q,"name":%q,"provider":%q,"instances":[{"status":"tainted","attributes":{}}]}]}`, module, kind, name, provider))
}

const (
	evilRoot = `{"provider":{"aws":{"profile":"evil","shared_config_files":["/evil"]}},"resource":{"terraform_data":{"evil":{"provisioner":{"local-exec":{"command":"touch /evil"}}}}}}`
	awsState = `provider["registry.terraform.io/hashicorp/aws"]`
)

// plants are what a stranger may put into a project folder. refused is what plan
// says of it; "" = it has no effect, and all goes as if it were not there.
var plants = []struct {
	name, refused string
	put           func(h *hostileFolder)
}{
	{"an override beside the root", "", func(h *hostileFolder) { h.plant(".hotreader/aws/x_override.tf.json", evilRoot) }},
	{"an override file", "", func(h *hostileFolder) { h.plant(".hotreader/aws/override.tf", `provider "aws" { profile = "evil" }`) }},
	{"a root of its own", "", func(h *hostileFolder) { h.plant(".hotreader/aws/evil.tf", `resource "terraform_data" "evil" {}`) }},
	{"a root for OpenTofu", "", func(h *hostileFolder) { h.plant(".hotreader/aws/evil.tofu", `resource "terraform_data" "evil" {}`) }},
	{"our root, changed", "", func(h *hostileFolder) { h.plant(".hotreader/aws/main.tf.json", evilRoot) }},
	{"import blocks", "", func(h *hostileFolder) { h.plant(".hotreader/aws/import.tf.json", `{"import":[{"to":"x.y","id":"z"}]}`) }},
	{"a file in the module", "", func(h *hostileFolder) {
		h.plant(".hotreader/aws/module/evil.tf", `resource "terraform_data" "evil" {}`)
	}},
	{"variables", "", func(h *hostileFolder) {
		h.plant(".hotreader/aws/terraform.tfvars", `token = "evil"`)
		h.plant(".hotreader/aws/x.auto.tfvars.json", `{"token":"evil"}`)
	}},
	{"settings of Terraform's command", "", func(h *hostileFolder) {
		for _, dir := range []string{"", ".hotreader/", ".hotreader/aws/"} {
			h.plant(dir+".terraformrc", `provider_installation { dev_overrides { "hashicorp/aws" = "." } }`)
			h.plant(dir+".tofurc", `provider_installation { dev_overrides { "hashicorp/aws" = "." } }`)
		}
	}},
	{"providers", "", func(h *hostileFolder) {
		h.program(".hotreader/aws/.terraform/providers/registry.terraform.io/hashicorp/aws/6.0.0/linux_amd64/terraform-provider-aws_v6.0.0")
		h.plant(".hotreader/aws/.terraform.lock.hcl", `provider "registry.terraform.io/hashicorp/aws" { version = "6.0.0" }`)
		h.plant(".hotreader/aws/initialised", "x")
	}},
	{"providers where Terraform looks of itself", "", func(h *hostileFolder) {
		for _, dir := range []string{"", ".hotreader/", ".hotreader/aws/"} {
			h.program(dir + "terraform.d/plugins/registry.terraform.io/hashicorp/aws/99.0.0/linux_amd64/terraform-provider-aws_v99.0.0")
		}
	}},
	{"modules, a workspace, a place for plugins and a backend in .terraform", "", func(h *hostileFolder) {
		h.plant(".hotreader/aws/.terraform/modules/modules.json", `{"Modules":[{"Key":"hotreader","Source":"./evil","Dir":"evil"}]}`)
		h.plant(".hotreader/aws/.terraform/environment", "evil")
		h.plant(".hotreader/aws/.terraform/plugin_path", `["."]`)
		h.plant(".hotreader/aws/.terraform/terraform.tfstate", `{"version":3,"backend":{"type":"http","config":{"address":"http://127.0.0.1:1"}}}`)
	}},
	{"links in .terraform", "", func(h *hostileFolder) { h.link(".hotreader/aws/.terraform/providers", "folder") }},
	{"a saved plan", "", func(h *hostileFolder) { h.plant(".hotreader/aws/plan", "evil") }},
	{"states of other names", "", func(h *hostileFolder) {
		h.plant(".hotreader/terraform.tfstate.d/evil/terraform.tfstate", "{}")
		h.plant(".hotreader/aws/errored.tfstate", "{}")
	}},
	{"programs that we run", "", func(h *hostileFolder) {
		for _, name := range []string{"terraform", "tofu", "hotreader", "az", "gcloud", "sh", ".hotreader/terraform", ".hotreader/aws/terraform"} {
			h.program(name)
		}
	}},
	{"a journal of arguments", "", func(h *hostileFolder) { h.plant(".hotreader/aws/journal", "-backup=/evil\nfailed -state-out=/evil\n") }},
	{"texts that are templates", "", func(h *hostileFolder) {
		read := `${file(\"` + filepath.Join(h.elsewhere, "secret.json") + `\")}`
		h.plant("config_hot_reader.json", `{"aws":{"region":"eu-central-1"},"device_key":"`+read+`","time_key":"$`+read+`"}`)
	}},
	{"a state with a provider of the stranger's", "it names the provider", func(h *hostileFolder) {
		h.state("module.hotreader", "aws_iam_role", "r", `provider["registry.terraform.io/evil/aws"]`)
	}},
	{"a state with a provider from elsewhere", "it names the provider", func(h *hostileFolder) {
		h.state("", "aws_iam_role", "r", `provider["evil.example/hashicorp/aws"]`)
	}},
	{"a state with a provider of another cloud", "it names the provider", func(h *hostileFolder) {
		h.state("", "null_resource", "r", `provider["registry.terraform.io/hashicorp/null"]`)
	}},
	{"a state without a provider", "it names the provider", func(h *hostileFolder) { h.state("", "aws_iam_role", "r", "") }},
	{"a state with another module", "it names the module", func(h *hostileFolder) { h.state("module.evil", "aws_iam_role", "r", awsState) }},
	{"a state with arguments for names", "it names the resource", func(h *hostileFolder) { h.state("", "-backup=/evil", "r", awsState) }},
	{"a state of an old version", "version 3", func(h *hostileFolder) {
		h.plant(".hotreader/aws/terraform.tfstate", `{"version":3,"modules":[{"path":["root"],"resources":{"x.y":{"type":"x","provider":"provider.evil"}}}]}`)
	}},
	{"the work folder is a link", ".hotreader: is a symbolic link", func(h *hostileFolder) { h.link(".hotreader", "folder") }},
	{"a cloud's folder is a link", "aws: is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/aws", "folder") }},
	{"the state is a link", "terraform.tfstate: is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/aws/terraform.tfstate", "precious") }},
	{"the state is a second name", "second name", func(h *hostileFolder) { h.name(".hotreader/aws/terraform.tfstate", "precious") }},
	{"the state is a pipe", "neither a file nor a folder", func(h *hostileFolder) { h.pipe(".hotreader/aws/terraform.tfstate") }},
	{"the backup is a link", "is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/aws/terraform.tfstate.backup", "precious") }},
	{"Terraform's lock is a link", "is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/aws/.terraform.tfstate.lock.info", "precious") }},
	{"the lock is a link", "lock: is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/lock", "precious") }},
	{"the lock is a second name", "second name", func(h *hostileFolder) { h.name(".hotreader/lock", "precious") }},
	{"the lock is a pipe", "neither a file nor a folder", func(h *hostileFolder) { h.pipe(".hotreader/lock") }},
	{"the lock is a folder", "lock", func(h *hostileFolder) {
		h.put(".hotreader/lock", func(path string) error { return os.Mkdir(path, 0o700) })
	}},
	{"the journal is a link", "journal: is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/aws/journal", "precious") }},
	{"the ignore file leads to nothing", "is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/.gitignore", "made") }},
	{"a token's file is a link", "is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/token-1.json", "precious") }},
	{"the local target is a link", "is a symbolic link", func(h *hostileFolder) { h.link(".hotreader/local", "folder") }},
	{"the local target's lock is a link", "is a symbolic link", func(h *hostileFolder) {
		h.plant(".hotreader/local/state.json", `{"pid":-1}`)
		h.link(".hotreader/local/lock", "precious")
	}},
	{"config.json is a link", "config.json: is a symbolic link", func(h *hostileFolder) { h.link("config.json", "secret.json") }},
	{"the devices are a link", "config_iot_devices.json: is a symbolic link", func(h *hostileFolder) { h.link("config_iot_devices.json", "secret.json") }},
	{"the options are a pipe", "config_hot_reader.json: is not a file", func(h *hostileFolder) { h.pipe("config_hot_reader.json") }},
	{"the connections are a link", "config_inter_cloud.json: is a symbolic link", func(h *hostileFolder) { h.link("config_inter_cloud.json", "secret.json") }},
	{"the connections are a pipe", "config_inter_cloud.json: is not a file", func(h *hostileFolder) { h.pipe("config_inter_cloud.json") }},
	{"a backend with a profile", "backend.aws.config.profile: is not taken", func(h *hostileFolder) {
		h.plant("config_hot_reader.json", `{"backend":{"aws":{"type":"s3","config":{"bucket":"b","key":"k","profile":"evil","shared_credentials_file":"evil"}}}}`)
	}},
	{"a backend that runs a program by its settings", "backend.aws.config.shared_config_files: is not taken", func(h *hostileFolder) {
		h.plant("config_hot_reader.json", `{"backend":{"aws":{"type":"s3","config":{"bucket":"b","shared_config_files":["evil"]}}}}`)
	}},
	{"a backend elsewhere on this machine", "backend.aws.config.path: is not taken", func(h *hostileFolder) {
		h.plant("config_hot_reader.json", `{"backend":{"aws":{"type":"local","config":{"path":"`+filepath.Join(h.elsewhere, "precious")+`"}}}}`)
	}},
	{"a backend with credentials", "backend.aws.config.credentials: is not taken", func(h *hostileFolder) {
		h.plant("config_hot_reader.json", `{"backend":{"aws":{"type":"gcs","config":{"bucket":"b","credentials":"evil.json"}}}}`)
	}},
	{"a backend at a stranger's server", "backend.aws.config.storage_account_name: is ", func(h *hostileFolder) {
		h.plant("config_hot_reader.json", `{"backend":{"aws":{"type":"azurerm","config":{"storage_account_name":"evil.example/#","container_name":"c","key":"k"}}}}`)
	}},
}

// mayLie is what may lie beside Terraform.
var mayLie = regexp.MustCompile(`^\./(main\.tf\.json|import\.tf\.json|plan|initialised|applied|\.terraform|module(/(templates|[a-z_]+\.tf|[a-z]+/[a-z_.]+))?|package(/hotreader-lambda-arm64\.zip)?)$`)

// run runs the command in the folder. It has to end soon.
func (h *hostileFolder) run(args ...string) (said string, code int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, serving.Program(h.t, "hotreader"), args...)
	c.Dir = h.dir
	c.Env = []string{"PATH=" + h.bin + ":/usr/bin:/bin:.:", "HOME=" + h.home, "TMPDIR=" + h.home, "AWS_EC2_METADATA_DISABLED=true", "PWD=" + h.dir}
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		h.t.Errorf("%s does not end", strings.Join(args, " "))
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok && err != nil || ok && exit.ExitCode() < 0 {
		h.t.Errorf("%s: %v", strings.Join(args, " "), err)
	}
	if strings.Contains(string(out), secretElsewhere) {
		h.t.Errorf("%s tells what is in a file elsewhere: %s", strings.Join(args, " "), out)
	}
	return string(out), c.ProcessState.ExitCode()
}

// untouched holds what lies elsewhere against what lay there, and what Terraform
// has seen against what it may see.
func (h *hostileFolder) untouched(after string) {
	h.t.Helper()
	found := map[string]string{}
	h.must(filepath.WalkDir(h.elsewhere, func(name string, e fs.DirEntry, err error) error {
		info, ierr := e.Info()
		h.must(errors.Join(err, ierr))
		text := ""
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(name)
			h.must(err)
			text = string(b)
		}
		if name != h.elsewhere {
			found[strings.TrimPrefix(name, h.elsewhere)] = info.Mode().String() + " " + text
		}
		return nil
	}))
	want := map[string]string{"/folder": "drwxr-xr-x ", "/folder/inside": "-rw-r--r-- inside", "/precious": `-rw-r--r-- {"version":4}`, "/secret.json": `-rw-r--r-- {"digital_twin_name":"` + secretElsewhere + `"}`}
	if fmt.Sprint(found) != fmt.Sprint(want) {
		h.t.Errorf("after %s there is elsewhere: %v", after, found)
	}
	log, err := os.ReadFile(h.log)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		kind, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind == "has" && mayLie.MatchString(what) || kind == "at" && strings.HasPrefix(what, h.home+"/") {
			continue
		}
		h.t.Errorf("after %s Terraform: %s", after, line)
	}
	_ = os.Remove(h.log)
}

// ownAlone: what Terraform has written here is for its owner alone, and what adopt
// has it keep is gone.
func (h *hostileFolder) ownAlone() {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, ".hotreader/aws/terraform.tfstate*"))
	if err != nil || len(files) != 2 {
		h.t.Errorf("%q are left, %v", files, err)
	}
	for _, name := range files {
		if info, err := os.Lstat(name); err != nil || info.Mode() != 0o600 {
			h.t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
}

// all runs each command that works on a project folder.
func (h *hostileFolder) all(refused []string) {
	h.t.Helper()
	rest := []string{"--artifacts", h.bin}
	said, code := h.run(append([]string{"plan", "--only", "aws"}, rest...)...)
	h.untouched("plan")
	fits := len(refused) == 0
	for _, want := range refused {
		fits = fits || strings.Contains(said, want)
	}
	if wanted := map[bool]int{true: 3}[len(refused) > 0]; code != wanted || !fits {
		h.t.Errorf("plan: exit code %d, want %d and one of %q: %s", code, wanted, refused, said)
	}
	for _, args := range [][]string{
		append([]string{"deploy", "--only", "aws", "--yes"}, rest...),
		{"status", "--only", "aws"},
		{"doctor", "--timeout", "1s"},
		append([]string{"token", "rotate", "--only", "aws", "--yes", "gcp_l4_to_aws_l3hot_read"}, rest...),
		append([]string{"render", "--only", "aws", "--out", filepath.Join(h.home, "rendered")}, rest...),
		append([]string{"render", "--only", "aws", "--out", ".hotreader"}, rest...),
		append([]string{"destroy", "--only", "aws", "--yes", "--confirm", "hall", "--delete-data"}, rest...),
		{"status", "--target", "local"}, {"doctor", "--target", "local"}, {"destroy", "--target", "local"},
		{"deploy", "--only", "aws", "--yes"}, {"deploy", "--target", "local", "--once"}, {"plan", "--only", "aws"},
	} {
		said, code := h.run(args...)
		h.untouched(args[0])
		if len(refused) == 0 && args[0] == "deploy" && slices.Contains(args, h.bin) {
			if h.ownAlone(); code != 0 {
				h.t.Errorf("deploy: exit code %d: %s", code, said)
			}
		}
	}
}

// TestHostileFolders: nothing that lies in a project folder makes a command run a
// program, read a file elsewhere or write through a link.
func TestHostileFolders(t *testing.T) {
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			h := newHostileFolder(t)
			p.put(h)
			var refused []string
			if p.refused != "" {
				refused = []string{p.refused}
			}
			h.all(refused)
		})
	}
	seed := uint64(time.Now().UnixNano())
	if *hostileFolders > 0 {
		t.Logf("seed %d", seed)
	}
	for i := range *hostileFolders {
		t.Run(fmt.Sprintf("combination %d", i), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			h := newHostileFolder(t)
			var names, refused []string
			for range 2 + random.IntN(4) {
				p := plants[random.IntN(len(plants))]
				h.clash = false
				p.put(h)
				names = append(names, p.name)
				if p.refused != "" && !h.clash {
					refused = append(refused, p.refused)
				}
			}
			h.all(refused)
			if t.Failed() {
				t.Logf("planted: %q", names)
			}
		})
	}
}

// TestProjectFolderHasNoPrograms: packages and emulators are run, or sent to a
// cloud that runs them, so those of a project folder must be named.
func TestProjectFolderHasNoPrograms(t *testing.T) {
	h := newHostileFolder(t)
	h.plant("dist/hotreader-lambda-arm64.zip", "evil")
	h.program(".engines/dynamodb/evil")
	for _, name := range []string{"config.json", "config_providers.json", "config_iot_devices.json", "config_hot_reader.json"} {
		text, err := os.ReadFile(filepath.Join(h.dir, name))
		h.must(err)
		h.plant("twin/"+name, string(text)) // a project in a repository of a stranger
	}
	for _, args := range [][]string{{"plan", "--only", "aws"}, {"deploy", "--only", "aws", "--yes"}, {"deploy", "--target", "local", "--once"}, {"render", "--out", filepath.Join(h.home, "out")},
		{"plan", "--project", "twin", "--only", "aws"}, {"deploy", "--project", "twin", "--target", "local", "--once"}, {"render", "--project", "twin", "--out", filepath.Join(h.home, "out")}} {
		if said, code := h.run(args...); code != 3 || !strings.Contains(said, "lies in the project folder") {
			t.Errorf("%q: %d %s", args, code, said)
		}
	}
	if said, code := h.run("deploy", "--target", "local", "--once", "--artifacts", h.bin); code != 3 || !strings.Contains(said, "name it with --engines") {
		t.Errorf("%d %s", code, said)
	}
	h.untouched("the commands")
}
