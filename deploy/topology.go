// Package deploy turns a project folder into functions, APIs, permissions and
// secrets on up to three clouds, and away again. What is needed where is decided
// here, by pure functions (Topology, Render); Terraform or OpenTofu carries it
// out (Engine).
package deploy

import "hotreader/config"

// Topology is what a project needs, and where.
type Topology struct {
	Twin   string
	L3, L4 config.Cloud // of hot storage, of the twin

	// Connection is the id in config_inter_cloud.json under which the token and
	// the URL are kept. "" = the twin and its hot storage are both on AWS:
	// TwinMaker calls the functions itself, and nothing is reachable from outside.
	Connection string

	// Sides are the clouds on which something is made, hot storage's first: it
	// hands the URL to the other. One if L3 and L4 are the same cloud.
	Sides []Side
}

// Side is what a project needs on one cloud.
type Side struct {
	Cloud     config.Cloud
	L3, L4    bool // what this cloud holds: hot storage, the twin, or both
	Functions []Function

	// Token says that the functions need the inter-cloud token, which lies in the
	// cloud's secret store.
	Token bool

	// Public says what can be reached from the internet, a sentence for each.
	Public []string
}

// Function is one of the three functions on a cloud.
type Function struct {
	Role config.Role
	Name string // {twin}-hot-reader, …

	// Host is what carries it: the function itself on AWS, a function app on Azure
	// or a Cloud Run service, which carry both readers at once.
	Host string

	// Store says that it queries hot storage on its own cloud, and so needs the
	// permission; Remote that it asks the other cloud's API instead.
	Store, Remote bool

	// Env is its environment, but for what is known only once the cloud's
	// resources are named: the store's variables, REMOTE_READER_URL and
	// INTER_CLOUD_TOKEN_SECRET.
	Env map[string]string
}
