package names

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hotreader/config"
)

var roles = []config.Role{config.History, config.LastEntry, config.API}

// kinds are all names of a twin, each with the cloud's rule as its reference
// documents it. folded: the cloud ignores letter case.
var kinds = map[string]struct {
	of     func(twin string) string
	rule   string
	max    int
	folded bool
}{
	"lambda and role, history":    {func(t string) string { return Function(t, config.History) }, `^[A-Za-z0-9_-]+$`, 64, false},
	"lambda and role, last entry": {func(t string) string { return Function(t, config.LastEntry) }, `^[A-Za-z0-9_-]+$`, 64, false},
	"lambda and role, api":        {func(t string) string { return Function(t, config.API) }, `^[A-Za-z0-9_-]+$`, 64, false},
	"table":                       {Table, `^[A-Za-z0-9_.-]{3,}$`, 255, false},
	"workspace":                   {Workspace, `^[A-Za-z_0-9][A-Za-z_0-9-]*[A-Za-z0-9]+$`, 128, false},
	"workspace role":              {WorkspaceRole, `^[\w+=,.@-]+$`, 64, true},
	"bucket":                      {Bucket, `^[a-z0-9][a-z0-9-]{1,}[a-z0-9]$`, 37, true},
	"stack":                       {func(t string) string { return Stack(t, "twinmaker") }, `^[A-Za-z][A-Za-z0-9-]*$`, 128, false},
	"device's stack":              {func(t string) string { return Stack(t, "device-"+LogicalID(strings.Repeat("ä-1", 99))) }, `^[A-Za-z][A-Za-z0-9-]*$`, 128, false},
	"secret":                      {Secret, `^[A-Za-z0-9_-]+$`, 255, false}, // Google's rule; AWS's is wider
	"resource group":              {ResourceGroup, `^[A-Za-z0-9_().-]*[A-Za-z0-9_()-]$`, 90, true},
	"function app":                {func(t string) string { return AzureFunctionApp(t, config.API, "s") }, `^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])$`, 60, true},
	"plan":                        {AzurePlan, `^[A-Za-z0-9-]+$`, 40, true},
	"identity":                    {AzureIdentity, `^[A-Za-z0-9][A-Za-z0-9_-]{2,}$`, 128, true},
	"insights":                    {AzureInsights, `^[A-Za-z0-9][A-Za-z0-9-]{2,}[A-Za-z0-9]$`, 63, true},
	"storage account":             {func(t string) string { return AzureStorage(t, "s") }, `^[a-z0-9]{3,}$`, 24, true},
	"key vault":                   {func(t string) string { return KeyVault(t, "s") }, `^[A-Za-z](-?[A-Za-z0-9])+$`, 24, true},
	"cosmos account":              {func(t string) string { return CosmosAccount(t, "s") }, `^[a-z0-9][a-z0-9-]{1,}[a-z0-9]$`, 44, true},
	"cosmos database":             {CosmosDatabase, `^[^/\\?#]*[^/\\?# ]$`, 255, false},
	"container":                   {Container, `^[^/\\?#]*[^/\\?# ]$`, 255, false},
	"cloud run, history":          {func(t string) string { return CloudRunService(t, config.History) }, `^[a-z]([a-z0-9-]*[a-z0-9])$`, 49, true},
	"cloud run, api":              {func(t string) string { return CloudRunService(t, config.API) }, `^[a-z]([a-z0-9-]*[a-z0-9])$`, 49, true},
	"service account":             {ServiceAccount, `^[a-z][a-z0-9-]{4,}[a-z0-9]$`, 30, true},
	"firestore database":          {FirestoreDatabase, `^[a-z][a-z0-9-]{2,}[a-z0-9]$`, 63, true},
	"collection":                  {Collection, `^[^/]+$`, 1500, false},
	"artifact repository":         {ArtifactRepository, `^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`, 63, true},
}

// reserved is what may not be in, or begin, the name of a host on Azure and of a
// bucket.
var reserved = map[string]*regexp.Regexp{
	"function app":    azureWords,
	"storage account": azureWords,
	"key vault":       azureWords,
	"cosmos account":  azureWords,
	"bucket":          regexp.MustCompile(`^xn--|^sthree-|^amzn-s3-demo`),
}

var azureWords = regexp.MustCompile(`microsoft|windows|^login|^xbox`)

// twins generates names that CheckTwinName lets through, those that differ little
// and those that are reserved more often than chance would.
var twins = rapid.OneOf(
	rapid.StringMatching(`[A-Za-z][A-Za-z0-9_-]{0,20}`),
	rapid.StringMatching(`[Aa][Bb_-]{0,3}`),
	rapid.StringMatching(`[a-zA-Z]{20}[_-]`),
	rapid.StringMatching(`a{19,20}[ab]`),
	rapid.StringMatching(`[aA](-[2-9][a-z2-9]{7}){1,2}`),
	rapid.SampledFrom([]string{"windows", "Windows-11", "loginx", "my-windows", "MICROSOFT", "micro-soft", "xbox", "xn--a", "sthree-a", "amzn-s3-demo-a", "a", "Z"}),
)

func TestNamesKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		twin := twins.Draw(t, "twin")
		if err := config.CheckTwinName(twin); err != nil {
			t.Fatalf("the generator is wrong: %v", err)
		}
		for kind, k := range kinds {
			name := k.of(twin)
			if len(name) > k.max || !regexp.MustCompile(k.rule).MatchString(name) {
				t.Errorf("%s of %q is %q (%d characters): want up to %d of %s", kind, twin, name, len(name), k.max, k.rule)
			}
			if words := reserved[kind]; words != nil && words.MatchString(name) {
				t.Errorf("%s of %q is %q, which has a reserved word", kind, twin, name)
			}
		}
	})
}

func TestNamesAreDistinct(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := twins.Draw(t, "a"), twins.Draw(t, "b")
		if rapid.Bool().Draw(t, "alike") {
			b = rapid.SampledFrom([]string{strings.ToUpper(a), strings.ToLower(a), strings.ReplaceAll(a, "_", "-"), strings.TrimRight(a, "-"), strings.ReplaceAll(a, "--", "-")}).Draw(t, "like a")
		}
		if a == b || config.CheckTwinName(b) != nil {
			return
		}
		for kind, k := range kinds {
			x, y := k.of(a), k.of(b)
			if k.folded {
				x, y = strings.ToLower(x), strings.ToLower(y)
			}
			if x == y {
				t.Errorf("%s of %q and of %q are both %q", kind, a, b, x)
			}
		}
	})
}

// What a twin was made into is not another twin's name.
func TestNamesOfLookalikes(t *testing.T) {
	for _, twin := range []string{"Factory", "a_b", "a-", "line--1"} {
		made := strings.TrimSuffix(CloudRunService(twin, config.History), "-hot-reader")
		if made == twin || config.CheckTwinName(made) != nil {
			t.Fatalf("%q became %q", twin, made)
		}
		if other := CloudRunService(made, config.History); other == made+"-hot-reader" {
			t.Errorf("the twins %q and %q share the name %q", twin, made, other)
		}
	}
}

func TestNamesOfRoles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		twin := twins.Draw(t, "twin")
		for i, a := range roles {
			for _, b := range roles[:i] {
				if Function(twin, a) == Function(twin, b) || CloudRunService(twin, a) == CloudRunService(twin, b) || AzureFunctionApp(twin, a, "s") == AzureFunctionApp(twin, b, "s") {
					t.Errorf("%q: %s and %s have the same name", twin, a, b)
				}
			}
		}
	})
}

// A name that is unique in the world differs with the subscription.
func TestNamesOfTheWorld(t *testing.T) {
	for kind, of := range map[string]func(scope string) string{
		"function app": func(s string) string { return AzureFunctionApp("factory", config.History, s) },
		"storage":      func(s string) string { return AzureStorage("factory", s) },
		"key vault":    func(s string) string { return KeyVault("factory", s) },
		"cosmos":       func(s string) string { return CosmosAccount("factory", s) },
	} {
		if of("a") == of("b") || of("") == of("a") {
			t.Errorf("%s: %q, %q", kind, of("a"), of("b"))
		}
	}
}

var devices = rapid.OneOf(
	rapid.StringN(1, 300, 2048),
	rapid.StringMatching(`[a-zA-Z0-9_.:-]{1,60}`),
	rapid.StringMatching(`a{225,260}[ab]`),
	rapid.StringMatching(`[aA.]{1,3}[ä_ /-]{0,2}`),
	rapid.StringMatching(`a(\.[2-9][a-z2-9]{7}){1,2}`),
)

func TestNamesOfDevices(t *testing.T) {
	typeID, logicalID := regexp.MustCompile(`^[a-zA-Z_.0-9:-]{1,256}$`), regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]{0,63}$`)
	rapid.Check(t, func(t *rapid.T) {
		twin, a, b := twins.Draw(t, "twin"), devices.Draw(t, "a"), devices.Draw(t, "b")
		if name := ComponentType(twin, a); !typeID.MatchString(name) {
			t.Errorf("component type of %q is %q", a, name)
		} else if typeID.MatchString(a) && len(a) < 200 && !strings.Contains(a, ".") && name != twin+"-"+a {
			t.Errorf("component type of %q is %q; TwinMaker takes {twin}-{device} itself", a, name)
		}
		if name := LogicalID(a); !logicalID.MatchString(name) {
			t.Errorf("logical id of %q is %q", a, name)
		}
		if a == b {
			return
		}
		if ComponentType(twin, a) == ComponentType(twin, b) {
			t.Errorf("the component types of %q and %q are both %q", a, b, ComponentType(twin, a))
		}
		if LogicalID(a) == LogicalID(b) {
			t.Errorf("the logical ids of %q and %q are both %q", a, b, LogicalID(a))
		}
	})
}

// The contract's names, and what becomes of twins that a cloud does not take.
func TestNamesOfTheContract(t *testing.T) {
	const long = "Abcdefghij_klmnopqrs-" // 21 characters
	for _, c := range []struct{ got, want string }{
		{Function("factory", config.History), "factory-hot-reader"},
		{Function("factory", config.LastEntry), "factory-hot-reader-last-entry"},
		{Function("factory", config.API), "factory-hot-reader-api"},
		{Function(long, config.LastEntry), long + "-hot-reader-last-entry"},
		{Function("a-2abcdefg", config.API), "a-2abcdefg-hot-reader-api"},
		{Table("factory"), "factory-hot-iot-data"},
		{Table(long), long + "-hot-iot-data"},
		{Container(long), long + "-hot-iot-data"},
		{Collection(long), long + "-hot-iot-data"},
		{Workspace("factory"), "factory-twinmaker"},
		{Workspace(long), long + "-twinmaker"},
		{ComponentType("factory", "pump-1"), "factory-pump-1"},
		{ComponentType("factory", "4f2e9abc"), "factory-4f2e9abc"},
		{ComponentType("factory", "hall.1:pump_2"), "factory-hall.1:pump_2"},
		{ComponentType("factory", "Pumpe Süd"), "factory-Pumpe-S--d.8amqsu38"},
		{CloudRunService("factory", config.History), "factory-hot-reader"},
		{CloudRunService("factory", config.API), "factory-hot-reader-api"},
		{CloudRunService("plant-building", config.History), "plant-building-hot-reader"},
		{CloudRunService(long, config.API), "abcdefghij-klmnopqrs-9yirueej-hot-reader-api"},
		{ServiceAccount("factory"), "factory-hot-reader"},
		{ServiceAccount(long), "abcdefghij-9yirueej-hot-reader"},
		{ResourceGroup("Factory"), "factory-4m78mwye-hot-reader"},
		{KeyVault(long, "s"), "abcdefghij-k-76tthhrk-hr"},
		{AzureStorage(long, "s"), "abcdefghijklmn76tthhrkhr"},
		{AzureFunctionApp("my-windows", config.History, ""), "twin-4p587ejf-hot-reader"},
		{AzureFunctionApp("login", config.History, ""), "twin-login-6rdmzasf-hot-reader"},
		{Stack("factory", "twinmaker"), "factory-twinmaker"},
		{Bucket("factory"), "factory-twinmaker"},
		{Bucket("sthree-a"), "twin-sthree-a-9q2svagc-twinmaker"},
		{Bucket("amzn-s3-demo-a"), "twin-amzn-s3-demo-8kd87vdd-twinmaker"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// Whatever the twin is called, a name is the contract's if the cloud takes it.
func TestNamesAreTheContractsWhereTheyMayBe(t *testing.T) {
	plain := regexp.MustCompile(`^[a-z]([a-z0-9]|-[a-z0-9])*$`)
	rapid.Check(t, func(t *rapid.T) {
		twin := twins.Draw(t, "twin")
		want := map[string]string{
			Table(twin): "hot-iot-data", Container(twin): "hot-iot-data", Collection(twin): "hot-iot-data", Workspace(twin): "twinmaker",
		}
		for _, role := range roles {
			want[Function(twin, role)] = string(role)
			if plain.MatchString(twin) && !endsInHash(twin) {
				want[CloudRunService(twin, role)] = string(role)
			}
		}
		for name, suffix := range want {
			if name != twin+"-"+suffix {
				t.Errorf("%q of %q, want %s-%s", name, twin, twin, suffix)
			}
		}
	})
}
