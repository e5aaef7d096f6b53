// Command hotreader-cloudrun is the service on Google Cloud Run: it serves the
// Hot Reader API on PORT, over Firestore where hot storage is on Google Cloud,
// and over the API in hot storage's cloud where only the twin is.
//
// Its environment is that of package config. What is wrong with it is reported
// on stderr, all at once, and the program exits with 1. SIGTERM ends it
// when the requests under way are answered, within the 10 s that Cloud Run
// gives.
package main

import (
	"context"
	"io"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"hotreader"
	"hotreader/config"
	"hotreader/function"
	"hotreader/function/cloudrun"
	"hotreader/function/mounts"
	"hotreader/identity"
	"hotreader/observe"
	"hotreader/observe/page"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/coldurl"
	"hotreader/store/coldstore/gcs"
	"hotreader/store/gcpfirestore"
	"hotreader/web"
)

func main() {
	if limit, ok := cloudrun.MemoryLimit(os.DirFS("/")); ok && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Getenv, os.Stderr)
	stop()
	if err != nil {
		os.Exit(1)
	}
}

// run serves until ctx ends. How it fails is in the log.
func run(ctx context.Context, getenv func(string) string, stderr io.Writer) error {
	logger := cloudrun.NewLogger(stderr, 0, "")
	f, err := config.CloudRun(getenv)
	if err == nil {
		logger = cloudrun.NewLogger(stderr, f.LogLevel.Level(), f.Project)
		err = function.Program{
			Name: "hotreader-cloudrun", Getenv: getenv, Logger: logger, Host: f.Host,
			Secrets:   function.Secrets{Secret: func(name string) identity.Fetch { return secret(getenv, name) }, Sign: cloudrun.Sign},
			Local:     func(seen *observe.Observer) (hotreader.Source, error) { return local(ctx, f, seen) },
			Objects:   func(url string) (hotreader.Source, error) { return coldurl.Open(url, f.Layout, bucket) },
			Mounts:    mounts.All(mounts.Options{Twin: f.Twin, Version: function.Version(), Samples: mounts.Samples, Answer: mounts.Answer}),
			Serve:     cloudrun.Server,
			Page:      page.Handler,
			Web:       web.Serve,
			MaxStream: -1, // chunked answers are exempt from Cloud Run's 32 MB
		}.Run(ctx, f)
	}
	if err != nil {
		logger.Error(err.Error())
	}
	return err
}

// secret reads the token from Secret Manager.
func secret(getenv func(string) string, version string) identity.Fetch {
	var o cloudrun.SecretOptions
	if host := getenv("SECRET_MANAGER_EMULATOR_HOST"); host != "" {
		o.Endpoint = "http://" + host
	}
	return cloudrun.Secret(version, o)
}

// bucket opens object storage on this cloud.
func bucket(u *url.URL) (coldstore.Bucket, string, error) {
	b, err := gcs.New(context.Background(), gcs.Options{Bucket: u.Host, Endpoint: u.Query().Get("endpoint")})
	return b, coldurl.Key(u), err
}

// local opens the store on this cloud.
func local(ctx context.Context, f *config.Function, seen *observe.Observer) (hotreader.Source, error) {
	client, err := gcpfirestore.NewClient(ctx, gcpfirestore.ClientOptions{Wrap: seen.Store})
	if err != nil {
		return nil, err
	}
	return gcpfirestore.New(client, gcpfirestore.Options{
		Project: f.Firestore.Project, Database: f.Firestore.Database, Collection: f.Firestore.Collection,
		Layout: f.Layout,
	}), nil
}
