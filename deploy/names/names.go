// Package names makes the name of everything that the deployer creates, on all
// three clouds, within each cloud's rules for length and characters.
//
// A name is the contract's where the cloud allows it. Where it does not, for the
// twin's name has characters that the cloud does not take, letter case that it
// does not see, or is too long, what fits of it is followed by a hash of the
// whole: nothing is shortened silently, and no two twins share a name. A name
// that is unique in the world, not only in an account, always carries a hash: of
// the twin and of scope, which is the Azure subscription, or "" where that is
// not said.
//
// Twins' names are those that config.CheckTwinName lets through.
package names

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"hotreader/config"
)

// alphabet is that of hashes: small letters and digits, without those that look
// like one another.
const alphabet = "abcdefghijkmnpqrstuvwxyz23456789"

// hashLength is how many characters of a hash a name carries, some 38 bits.
const hashLength = 8

// hash returns a hash of parts. It begins with a digit, so that it seldom looks
// like a word, nor a word like it.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	sum := h.Sum(nil)
	text := base32.NewEncoding(alphabet).WithPadding(base32.NoPadding).EncodeToString(sum)
	return string('2'+sum[len(sum)-1]%8) + text[:hashLength-1]
}

// endsInHash reports whether s looks as if it did. A twin of such a name gets a
// hash of its own, lest its name is taken for what another's was made into.
func endsInHash(s string) bool {
	i := len(s) - hashLength
	return i > 0 && s[i-1] == '-' && '2' <= s[i] && s[i] <= '9' && strings.Trim(s[i:], alphabet) == ""
}

// rule is what a cloud asks of a name. Every cloud takes small letters and
// digits; every name begins with a letter.
type rule struct {
	max    int
	dash   bool     // - is allowed, and separates the parts of a name
	upper  bool     // so are capital letters, and letter case counts
	under  bool     // so is _
	others string   // so are these
	twice  bool     // and - beside another, or at the end of a part
	inside []string // words that may not be in it
	first  []string // words that may not begin it
}

// reduce returns what of text may stand in a name.
func (r rule) reduce(text string) string {
	b := make([]byte, 0, len(text))
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte(r.others, c) >= 0:
		case 'A' <= c && c <= 'Z':
			if !r.upper {
				c += 'a' - 'A'
			}
		case c == '_' && r.under:
		case !r.dash:
			continue
		default:
			c = '-'
		}
		if c == '-' && !r.twice && (len(b) == 0 || b[len(b)-1] == '-') {
			continue
		}
		b = append(b, c)
	}
	s := string(b)
	if !r.twice {
		s = strings.TrimRight(s, "-")
	}
	for _, word := range r.inside {
		if strings.Contains(s, word) {
			return "twin"
		}
	}
	for _, word := range r.first {
		if strings.HasPrefix(s, word) {
			return "twin" + r.join() + s
		}
	}
	return s
}

func (r rule) join() string {
	if r.dash {
		return "-"
	}
	return ""
}

// local makes a name that is unique in an account: {twin}-{suffix} if that is
// allowed.
func (r rule) local(twin, suffix string) string {
	if r.reduce(twin) == twin && len(twin)+1+len(suffix) <= r.max && (r.exact() || !endsInHash(twin)) {
		return twin + "-" + suffix
	}
	return r.hashed(twin, suffix, twin)
}

// exact reports whether r takes every twin's name as it is, so that none is made
// into anything.
func (r rule) exact() bool { return r.dash && r.upper && r.under && r.twice && r.max >= 64 }

// hashed makes a name of what fits of stem, a hash of keys, and a suffix.
func (r rule) hashed(stem, suffix string, keys ...string) string {
	tail := r.join() + hash(keys...) + r.join() + suffix
	stem = r.reduce(stem)
	if room := max(0, r.max-len(tail)); len(stem) > room {
		stem = strings.TrimRight(stem[:room], "-")
	}
	return stem + tail
}

// AWS. What the names are made of: API references of Lambda (64 of a-z A-Z 0-9 -
// _), IAM (64 of those and + = , . @), DynamoDB (3 to 255 of those and .),
// Secrets Manager (512), CloudFormation (128 of a-z A-Z 0-9 -), TwinMaker
// (workspaces 128, component types 256 of a-z A-Z 0-9 _ . - :), S3 (3 to 63 of
// a-z 0-9 - .).
var (
	aws       = rule{max: 64, dash: true, upper: true, under: true, twice: true}
	role      = rule{max: 64, dash: true, under: true, twice: true} // letter case is kept, but does not count
	stack     = rule{max: 128, dash: true, upper: true}
	component = rule{max: 256, dash: true, upper: true, under: true, others: ".:", twice: true}
	bucket    = rule{max: 37, dash: true, first: []string{"sthree-", "amzn-s3-demo"}}
	logical   = rule{max: 64, upper: true}
)

// Function names a function, its role and its API on AWS: {twin}-hot-reader,
// {twin}-hot-reader-last-entry or {twin}-hot-reader-api.
//
// IAM ignores the letter case of roles. The contract's name stays all
// the same: of two twins in one account that differ in nothing else IAM rejects the
// second one's roles, and does not share them.
func Function(twin string, role config.Role) string { return aws.local(twin, string(role)) }

// Table names hot storage's table on DynamoDB: {twin}-hot-iot-data.
func Table(twin string) string { return aws.local(twin, "hot-iot-data") }

// Workspace names the TwinMaker workspace: {twin}-twinmaker.
func Workspace(twin string) string { return aws.local(twin, "twinmaker") }

// WorkspaceRole names the role that TwinMaker assumes.
func WorkspaceRole(twin string) string { return role.local(twin, "twinmaker") }

// Bucket names the workspace's bucket, but for what makes it unique in the
// world: it has at most 37 characters, so that -ACCOUNT or Terraform's random
// suffix may follow.
func Bucket(twin string) string { return bucket.local(twin, "twinmaker") }

// ComponentType names a device's component type: {twin}-{device} where TwinMaker
// takes that. It is unique in the twin's workspace; two twins may have component
// types of one name. The hash follows a dot: device ids often end in
// something that looks like one, and must come out as they are.
func ComponentType(twin, device string) string {
	const mark = "."
	i := strings.LastIndex(device, mark)
	if component.reduce(device) == device && len(twin)+1+len(device) <= component.max && (i < 0 || !endsInHash("x-"+device[i+1:])) {
		return twin + "-" + device
	}
	h := mark + hash(device)
	name := twin + "-" + component.reduce(device)
	return name[:min(len(name), component.max-len(h))] + h
}

// LogicalID names a device's resource in a CloudFormation template, and is a
// part that Stack takes: letters and digits, at most 64.
func LogicalID(device string) string { return logical.hashed("D"+device, "", device) }

// Stack names a CloudFormation stack of a twin: {twin}-{part}. A part has
// letters, digits and -, at most 90, and is not such that two twins come to the
// same.
func Stack(twin, part string) string { return stack.local(twin, part) }

// Secret names the secret that holds the token, in AWS Secrets Manager and in
// Google Secret Manager (255 of a-z A-Z 0-9 - _): {twin}-inter-cloud-token. It
// does not end in a dash and six characters, which Secrets Manager's own ARNs
// do.
func Secret(twin string) string { return aws.local(twin, "inter-cloud-token") }

// PageKey names the secret that holds the key of page tokens, as Secret.
func PageKey(twin string) string { return aws.local(twin, "page-key") }

// Azure. The rules are those of "Naming rules and restrictions for Azure
// resources": letter case never counts there. A name of a host may
// not hold or begin with some words ("Resolve errors for reserved resource
// names"); the others of that list are whole names, which none of ours is.
var (
	group    = rule{max: 90, dash: true}
	plan     = rule{max: 40, dash: true}
	insights = rule{max: 63, dash: true} // Log Analytics' workspace, 4 to 63; Application Insights takes more
	identity = rule{max: 63, dash: true} // 3 to 128
	app      = host(60, true)
	storage  = host(24, false)
	vault    = host(24, true)
	cosmos   = host(44, true)
	cosmosID = rule{max: 255, dash: true, upper: true, under: true, twice: true}
)

// host is the rule of a name that becomes part of a domain's.
func host(most int, dash bool) rule {
	return rule{max: most, dash: dash, inside: []string{"microsoft", "windows"}, first: []string{"login", "xbox"}}
}

// AzureSecret names the secret that holds the token, in the twin's own key
// vault.
func AzureSecret() string { return "inter-cloud-token" }

// AzurePageKey names the secret that holds the key of page tokens there.
func AzurePageKey() string { return "page-key" }

// ResourceGroup names the resource group.
func ResourceGroup(twin string) string { return group.local(twin, "hot-reader") }

// AzureFunctionApp names the function app that carries a role, and others of its
// cloud besides. Unique in the world.
func AzureFunctionApp(twin string, role config.Role, scope string) string {
	return app.hashed(twin, string(role), twin, scope)
}

// AzurePlan names the function app's plan.
func AzurePlan(twin string) string { return plan.local(twin, "hot-reader") }

// AzureIdentity names the function app's managed identity.
func AzureIdentity(twin string) string { return identity.local(twin, "hot-reader") }

// AzureInsights names Application Insights, and the workspace that it writes to.
func AzureInsights(twin string) string { return insights.local(twin, "hot-reader") }

// AzureStorage names the function app's storage account. Unique in the world.
func AzureStorage(twin, scope string) string { return storage.hashed(twin, "hr", twin, scope) }

// KeyVault names the key vault. Unique in the world.
func KeyVault(twin, scope string) string { return vault.hashed(twin, "hr", twin, scope) }

// CosmosAccount names the Cosmos DB account. Unique in the world.
func CosmosAccount(twin, scope string) string { return cosmos.hashed(twin, "hot", twin, scope) }

// CosmosDatabase names the database in the account.
func CosmosDatabase(twin string) string { return cosmosID.local(twin, "twin") }

// Container names hot storage's container on Cosmos DB: {twin}-hot-iot-data.
func Container(twin string) string { return cosmosID.local(twin, "hot-iot-data") }

// Google Cloud: Cloud Run (up to 49), service accounts (6 to 30), Firestore
// databases (4 to 63) and Artifact Registry (up to 63) all require a-z, 0-9 and -,
// with a letter in front and no - at the end. Ids of collections may be any that
// are no path and not of the form __…__.
var (
	service    = rule{max: 49, dash: true}
	account    = rule{max: 30, dash: true}
	database   = rule{max: 63, dash: true}
	repository = rule{max: 63, dash: true}
	collection = rule{max: 1500, dash: true, upper: true, under: true, twice: true}
)

// CloudRunService names the service that carries a role, and others of its cloud
// besides: {twin}-hot-reader or {twin}-hot-reader-api.
func CloudRunService(twin string, role config.Role) string {
	return service.local(twin, string(role))
}

// ServiceAccount names the service's account.
func ServiceAccount(twin string) string { return account.local(twin, "hot-reader") }

// FirestoreDatabase names the database.
func FirestoreDatabase(twin string) string { return database.local(twin, "hot") }

// Collection names hot storage's collection on Firestore: {twin}-hot-iot-data.
func Collection(twin string) string { return collection.local(twin, "hot-iot-data") }

// ArtifactRepository names the repository that the service's image is in.
func ArtifactRepository(twin string) string { return repository.local(twin, "hot-reader") }
