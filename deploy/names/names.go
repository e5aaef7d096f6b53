// Package names makes the name of everything that the deployer creates, on all
// three clouds, within each cloud's rules for length and characters.
//
// A name is the contract's where the cloud allows it. Where the twin's name has
// characters that the cloud does not take, differs in letter case that the cloud
// does not see, or is too long, what is left of it is followed by a hash of the
// whole: nothing is shortened silently, and two twins never share a name. Names
// that are unique in the world, not only in an account, always carry a hash, of
// the twin and of scope: the Azure subscription or Google Cloud project, or "".
package names

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"hotreader/config"
)

// hashLength is how many characters of a hash a name carries: 40 bits.
const hashLength = 8

var letters = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// hash returns hashLength small letters and digits for parts, the first of them
// a letter or a digit alike.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return letters.EncodeToString(h.Sum(nil))[:hashLength]
}

// rule is what a cloud asks of a name.
type rule struct {
	max   int
	join  string // between the parts of a name: "-", or "" where only letters and digits are allowed
	upper bool   // A-Z are allowed, and other letters than a-z
	under bool   // so is _
	twice bool   // so is -- inside, and - at the end of a part
	dns   bool   // the name is a host's in one of Azure's domains: some words are reserved
}

// reserved are words that no public name on Azure may hold or begin with.
var reservedInside, reservedFirst = []string{"microsoft", "windows"}, []string{"login", "xbox"}

// reduce returns what of text may stand in a name.
func (r rule) reduce(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-' && r.join != "", c == '_' && r.under, 'A' <= c && c <= 'Z' && r.upper:
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case r.join == "":
			continue
		default:
			c = '-'
		}
		if c == '-' && !r.twice && (b.Len() == 0 || b.String()[b.Len()-1] == '-') {
			continue
		}
		b.WriteByte(c)
	}
	s := b.String()
	if !r.twice {
		s = strings.TrimRight(s, "-")
	}
	if r.dns {
		for _, word := range reservedInside {
			if strings.Contains(s, word) {
				return "twin"
			}
		}
		for _, word := range reservedFirst {
			if strings.HasPrefix(s, word) {
				return "twin" + r.join + s
			}
		}
	}
	return s
}

// name returns twin and suffix in one, with a hash of keys between them if twin
// does not fit or unique says so.
func (r rule) name(twin, suffix string, unique bool, keys ...string) string {
	if suffix != "" {
		suffix = r.join + suffix
	}
	stem := r.reduce(twin)
	if !unique && stem == twin && len(stem)+len(suffix) <= r.max && !r.hashed(stem) {
		return stem + suffix
	}
	h := r.join + hash(append([]string{twin}, keys...)...)
	if room := r.max - len(h) - len(suffix); len(stem) > room {
		stem = strings.TrimRight(stem[:room], "-")
	}
	return stem + h + suffix
}

// hashed reports whether s looks as if it ended in a hash. Such a twin gets one
// of its own, lest it is taken for another's.
func (r rule) hashed(s string) bool {
	i := len(s) - hashLength - 1
	if i < 0 || s[i] != '-' {
		return false
	}
	for _, c := range []byte(s[i+1:]) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

var (
	aws       = rule{max: 64, join: "-", upper: true, under: true, twice: true}
	lower     = rule{max: 63, join: "-"}
	component = rule{max: 256, join: "-", upper: true, under: true, twice: true}
)

// with returns r with another greatest length.
func (r rule) with(n int) rule { r.max = n; return r }

// AWS.

// Function names a function on AWS, and its role and its API: {twin}-hot-reader,
// …-last-entry, …-api.
func Function(twin string, role config.Role) string { return aws.name(twin, string(role), false) }

// Table names the hot table on DynamoDB.
func Table(twin string) string { return aws.name(twin, "hot-iot-data", false) }

// Workspace names the TwinMaker workspace.
func Workspace(twin string) string { return aws.name(twin, "twinmaker", false) }

// WorkspaceRole names the role that TwinMaker assumes.
func WorkspaceRole(twin string) string { return aws.name(twin, "twinmaker", false) }

// Bucket names the workspace's bucket, up to what makes it unique in the world:
// at most 37 characters, which an account's id and a dash may follow.
func Bucket(twin string) string { return lower.with(37).name(twin, "twinmaker", false) }

// ComponentType names a device's component type, unique in the twin's workspace.
func ComponentType(twin, device string) string { return "" }

// LogicalID names a device's resources within a CloudFormation template.
func LogicalID(device string) string { return "" }

// Stack names a CloudFormation stack of a twin.
func Stack(twin, part string) string { return lower.with(128).name(twin, part, false) }

// Secret names the secret that holds the token, on AWS and Google Cloud.
func Secret(twin string) string { return aws.name(twin, "inter-cloud-token", false) }

// Azure.

// AzureSecret names the secret in the key vault.
func AzureSecret() string { return "inter-cloud-token" }

// ResourceGroup names the resource group.
func ResourceGroup(twin string) string { return lower.with(90).name(twin, "hot-reader", false) }

// AzureFunctionApp names the function app that carries a role.
func AzureFunctionApp(twin string, role config.Role, scope string) string {
	return rule{max: 60, join: "-", dns: true}.name(twin, string(role), true, scope)
}

// AzurePlan names the function app's plan.
func AzurePlan(twin string) string { return lower.with(40).name(twin, "hot-reader", false) }

// AzureIdentity names the function app's managed identity.
func AzureIdentity(twin string) string { return lower.with(63).name(twin, "hot-reader", false) }

// AzureInsights names Application Insights and its workspace.
func AzureInsights(twin string) string { return lower.with(63).name(twin, "hot-reader", false) }

// AzureStorage names the storage account of the function app.
func AzureStorage(twin, scope string) string {
	return rule{max: 24, dns: true}.name(twin, "hr", true, scope)
}

// KeyVault names the key vault.
func KeyVault(twin, scope string) string {
	return rule{max: 24, join: "-", dns: true}.name(twin, "kv", true, scope)
}

// CosmosAccount names the Cosmos DB account.
func CosmosAccount(twin, scope string) string {
	return rule{max: 44, join: "-", dns: true}.name(twin, "hot", true, scope)
}

// CosmosDatabase names the database in the account.
func CosmosDatabase(twin string) string { return twin + "-twin" }

// Container names hot storage's container on Cosmos DB: {twin}-hot-iot-data.
func Container(twin string) string { return twin + "-hot-iot-data" }

// Google Cloud.

// CloudRunService names the service that carries a role.
func CloudRunService(twin string, role config.Role) string {
	return lower.with(49).name(twin, string(role), false)
}

// ServiceAccount names the service's account.
func ServiceAccount(twin string) string { return lower.with(30).name(twin, "hot-reader", false) }

// FirestoreDatabase names the database.
func FirestoreDatabase(twin string) string { return lower.name(twin, "hot", false) }

// Collection names hot storage's collection: {twin}-hot-iot-data.
func Collection(twin string) string { return twin + "-hot-iot-data" }

// ArtifactRepository names the repository of the service's image.
func ArtifactRepository(twin string) string { return lower.name(twin, "hot-reader", false) }
