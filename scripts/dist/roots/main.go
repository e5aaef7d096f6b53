// Command roots prints the certificate authorities that the Cloud Run image
// trusts, as PEM: Mozilla's list, as the Go project publishes it. It is a module
// of its own, so that the list is pinned by a go.sum and adds nothing to the
// programs' go.mod.
package main

import (
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	for root := range bundle.Roots() {
		// Trusted with a condition that PEM cannot express is not trusted.
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			fmt.Fprintln(os.Stderr, "roots:", err)
			os.Exit(1)
		}
	}
}
