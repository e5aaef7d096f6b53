// Command hotreader-azure is the custom handler of the Azure Functions app: it
// serves the Hot Reader API on the port of this machine that the Functions host
// asks for, over Cosmos DB where hot storage is on Azure, and over the API in
// hot storage's cloud where only the twin is.
//
// The folder app is the function app without this program, which belongs into
// it as hotreader-azure. The environment is that of package config. What is wrong
// with it is reported on stderr, all at once, and the program exits with
// 1. SIGTERM ends it when the requests under way are answered.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/function"
	"hotreader/function/azurefunctions"
	"hotreader/function/mounts"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/observe"
	"hotreader/store/azurecosmos"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/azureblob"
	"hotreader/store/coldstore/coldurl"
	"hotreader/web"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Getenv, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx ends. The host looks for a level
// in each line of stderr.
func run(ctx context.Context, getenv func(string) string, stderr io.Writer) error {
	f, err := config.AzureFunctions(getenv)
	if err != nil {
		return err
	}
	return function.Program{
		Name: "hotreader-azure", Getenv: getenv, Host: "127.0.0.1",
		Logger: slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: f.LogLevel})),
		Secrets: function.Secrets{
			Secret: func(name string) identity.Fetch { return secret(getenv, name) },
			Sign:   func(audience string) identity.Fetch { return azurefunctions.Sign(getenv, audience) },
		},
		Local:   func(seen *observe.Observer) (hotreader.Source, error) { return local(f, seen) },
		Objects: func(url string) (hotreader.Source, error) { return coldurl.Open(url, f.Layout, bucket) },
		Mounts:  mounts.All(mounts.Options{Twin: f.Twin, Version: function.Version(), Samples: mounts.Samples, Answer: mounts.Answer}),
		Serve:   func(api http.Handler) *http.Server { return httpapi.Server(azurefunctions.Handler(api)) },
		Web:     web.Serve,
	}.Run(ctx, f)
}

// secret reads the token from Key Vault.
func secret(getenv func(string) string, uri string) identity.Fetch {
	return func(ctx context.Context) (string, time.Time, error) {
		who, err := azurefunctions.Identity(getenv)
		if err != nil {
			return "", time.Time{}, err
		}
		return azurefunctions.Secret(who, nil, uri)(ctx)
	}
}

// bucket opens object storage on this cloud.
func bucket(u *url.URL) (coldstore.Bucket, string, error) {
	container, prefix := coldurl.Container(u)
	b, err := azureblob.NewFunction(azureblob.Options{Account: u.Host, Container: container, Endpoint: u.Query().Get("endpoint")})
	return b, prefix, err
}

// local opens the store on this cloud.
func local(f *config.Function, seen *observe.Observer) (hotreader.Source, error) {
	client, err := azurecosmos.NewFunctionClient(azurecosmos.ClientOptions{Endpoint: f.Cosmos.Endpoint, Wrap: seen.Store})
	if err != nil {
		return nil, err
	}
	return azurecosmos.New(client, azurecosmos.Options{Database: f.Cosmos.Database, Container: f.Cosmos.Container, Layout: f.Layout}), nil
}
