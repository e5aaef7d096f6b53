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

// App publishes the zip file to the function app whose publishing address is base, as
// https://APP.scm.azurewebsites.net, and waits until it is deployed. It uses One
// Deploy, the only method that the Flex Consumption plan supports:
// https://learn.microsoft.com/azure/azure-functions/functions-deployment-technologies#one-deploy.
func (p Publisher) App(ctx context.Context, file, base string) error {
	const op = "publish the function app"
	text, err := os.ReadFile(file)
	if err != nil {
		return fail(op, hotreader.CodeConfig, "%w", err)
	}
	c, err := p.client(op, base, func(host string) bool {
		return strings.Contains(host, ".scm.") && strings.HasSuffix(host, ".azurewebsites.net")
	})
	if err != nil {
		return err
	}
	var status string // path or URL of the deployment's state; "" = it is deployed already
	err = p.retry(ctx, op, func() error {
		a, err := c.do(ctx, http.MethodPost, "/api/publish?RemoteBuild=false&Deployer=hotreader", "application/zip", text)
		if err != nil {
			return temporary(err)
		}
		says := errors.New("the app's publishing service answers " + a.says())
		switch {
		case a.status == http.StatusOK:
			return nil
		case a.status == http.StatusAccepted:
			status = cmp.Or(a.header.Get("Location"), "/api/deployments/latest")
			return nil
		case isTemporary(a.status), a.status == http.StatusConflict, a.status == http.StatusNotFound, a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
			// Another deployment runs, the app is starting, or the app's identity has just
			// got the role by which it writes the package to the storage account.
			return temporary(says)
		}
		return fail(op, hotreader.CodeConfig, "%w", says)
	})
	if err != nil || status == "" {
		return err
	}
	return p.retry(ctx, op, func() error { return c.checkDeployed(ctx, op, status) })
}

// checkDeployed returns nil if the deployment has succeeded, and a temporary error
// while it runs.
func (c *client) checkDeployed(ctx context.Context, op, status string) error {
	a, err := c.do(ctx, http.MethodGet, status, "", nil)
	if err != nil {
		return temporary(err)
	}
	var d struct {
		Status   int    `json:"status"`
		Text     string `json:"status_text"`
		Message  string `json:"message"`
		Complete bool   `json:"complete"`
	}
	if a.status != http.StatusOK && a.status != http.StatusAccepted || json.Unmarshal(a.body, &d) != nil {
		return temporary(errors.New("the deployment's state is " + a.says()))
	}
	const failed, succeeded = 3, 4 // https://github.com/projectkudu/kudu/wiki/REST-API#deployment
	switch {
	case d.Status == succeeded:
		return nil
	case d.Status == failed || d.Complete:
		return fail(op, hotreader.CodeStore, "the package could not be deployed: %.300s", cmp.Or(d.Text, d.Message, a.says()))
	}
	return temporary(fmt.Errorf("the deployment is in state %d", d.Status))
}

// Vault waits until the user who runs this may use the secrets of the key vault at
// base, as https://VAULT.vault.azure.net/.
func (p Publisher) Vault(ctx context.Context, base string) error {
	const op = "wait for the key vault"
	c, err := p.client(op, base, func(host string) bool { return strings.HasSuffix(host, ".vault.azure.net") })
	if err != nil {
		return err
	}
	return p.retry(ctx, op, func() error {
		a, err := c.do(ctx, http.MethodGet, "/secrets?api-version=7.4&maxresults=1", "", nil)
		switch {
		case err != nil: // the name of a new vault may not resolve yet
			return temporary(err)
		case a.status == http.StatusOK:
			return nil
		case a.status == http.StatusForbidden || a.status == http.StatusNotFound || isTemporary(a.status):
			return temporary(errors.New("Key Vault answers " + a.says()))
		}
		return fail(op, hotreader.CodeForbidden, "Key Vault answers %s", a.says())
	})
}
