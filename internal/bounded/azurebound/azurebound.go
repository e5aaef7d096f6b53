// Package azurebound has the identities by which programs sign in to Azure. They read answers
// up to a bound.
package azurebound

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"hotreader/internal/bounded"
)

// Default returns the identity that every Azure tool would find on this machine:
// environment, workload, managed identity, az login. It is for programs that people start.
func Default() (azcore.TokenCredential, error) {
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: bounded.Client{}}})
}

// Managed returns the managed identity of a function: that with the client ID, "" = the
// system's. It links none of the other kinds of sign-in.
func Managed(clientID string) (azcore.TokenCredential, error) {
	o := azidentity.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: bounded.Client{}}}
	if clientID != "" {
		o.ID = azidentity.ClientID(clientID)
	}
	return azidentity.NewManagedIdentityCredential(&o)
}
