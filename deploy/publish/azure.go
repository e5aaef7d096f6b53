package publish

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"hotreader"
)

// App publishes the zip file to the function app whose publishing address is base,
// as https://APP.scm.azurewebsites.net, and waits until it is deployed. It is what
// Azure calls One Deploy, the only way into an app on the Flex Consumption plan:
// https://learn.microsoft.com/azure/azure-functions/functions-deployment-technologies#one-deploy.
// note is told when it has to wait; it may be nil, and so may transport.
func App(ctx context.Context, file, base string, token Token, transport http.RoundTripper, note func(string)) error {
	const op = "publish the function app"
	text, err := os.ReadFile(file)
	if err != nil {
		return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: err}
	}
	c, err := newClient(op, base, token, transport, func(host string) bool {
		return strings.Contains(host, ".scm.") && strings.HasSuffix(host, ".azurewebsites.net")
	})
	if err != nil {
		return err
	}
	var status string // where the deployment's state is
	err = again(ctx, op, note, func() error {
		a, err := c.do(ctx, http.MethodPost, "/api/publish?RemoteBuild=false&Deployer=hotreader", "application/zip", text)
		if err != nil {
			return later(err)
		}
		switch {
		case a.status == http.StatusOK:
			return nil
		case a.status == http.StatusAccepted:
			status = cmp.Or(a.header.Get("Location"), "/api/deployments/latest")
			return nil
		case passing(a.status), a.status == http.StatusConflict, a.status == http.StatusNotFound, a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
			// Another deployment, an app that starts, or the app's identity, which writes
			// the package to the storage account by a role that it was just given.
			return later(errors.New("the app's publishing service answers " + a.says()))
		}
		return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: errors.New("the app's publishing service answers " + a.says())}
	})
	if err != nil || status == "" {
		return err
	}
	return again(ctx, op, note, func() error {
		a, err := c.do(ctx, http.MethodGet, status, "", nil)
		if err != nil {
			return later(err)
		}
		if a.status != http.StatusOK && a.status != http.StatusAccepted {
			return later(errors.New("the deployment's state is " + a.says()))
		}
		var d struct {
			Status   int    `json:"status"`
			Text     string `json:"status_text"`
			Message  string `json:"message"`
			Complete bool   `json:"complete"`
		}
		if err := json.Unmarshal(a.body, &d); err != nil {
			return later(errors.New("the deployment's state is " + a.says()))
		}
		const failed, succeeded = 3, 4 // https://github.com/projectkudu/kudu/wiki/REST-API#deployment
		switch {
		case d.Status == succeeded:
			return nil
		case d.Status == failed || d.Complete:
			return &hotreader.Error{Op: op, Code: hotreader.CodeStore, Err: fmt.Errorf("the package could not be deployed: %.300s", cmp.Or(d.Text, d.Message, a.says()))}
		}
		return later(fmt.Errorf("the deployment is in state %d", d.Status))
	})
}

// Vault waits until whoever runs this may use the secrets of the key vault at base,
// as https://VAULT.vault.azure.net/. note is told when it has to wait; it may be
// nil, and so may transport.
func Vault(ctx context.Context, base string, token Token, transport http.RoundTripper, note func(string)) error {
	const op = "wait for the key vault"
	c, err := newClient(op, base, token, transport, func(host string) bool { return strings.HasSuffix(host, ".vault.azure.net") })
	if err != nil {
		return err
	}
	return again(ctx, op, note, func() error {
		a, err := c.do(ctx, http.MethodGet, "/secrets?api-version=7.4&maxresults=1", "", nil)
		switch {
		case err != nil: // the name of a vault that was just made, too
			return later(err)
		case a.status == http.StatusOK:
			return nil
		case a.status == http.StatusForbidden || a.status == http.StatusNotFound || passing(a.status):
			return later(errors.New("Key Vault answers " + a.says()))
		}
		return &hotreader.Error{Op: op, Code: hotreader.CodeForbidden, Err: errors.New("Key Vault answers " + a.says())}
	})
}
