// Package terraform holds the Terraform modules, one for each cloud. Each makes
// what one side of a project needs; package deploy writes the root module that
// calls it.
package terraform

import "embed"

// Modules holds the modules' files, in the folders aws, azure and gcp.
//
//go:embed *
var Modules embed.FS
