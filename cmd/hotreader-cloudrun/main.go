// Command hotreader-cloudrun is the service on Google Cloud Run: it serves the
// Hot Reader API on PORT, over Firestore where hot storage is on Google Cloud,
// and over the API in hot storage's cloud where only the twin is.
//
// Its environment is that of package config. What is wrong with it is reported
// on standard error, all at once, and the program exits with 1. SIGTERM ends it
// when the requests under way are answered, within the 10 s that Cloud Run
// gives.
package main

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/function"
	"hotreader/function/cloudrun"
	"hotreader/function/httphost"
	"hotreader/httpapi"
	"hotreader/observe"
	"hotreader/observe/page"
	"hotreader/store/gcpfirestore"
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

const name = "hotreader-cloudrun"

// run serves until ctx ends. How it fails is in the log.
func run(ctx context.Context, getenv func(string) string, stderr io.Writer) (err error) {
	f, err := config.CloudRun(getenv)
	if err != nil {
		cloudrun.NewLogger(stderr, 0, "").Error(err.Error())
		return err
	}
	logger := cloudrun.NewLogger(stderr, f.LogLevel, f.Project)
	defer func() {
		if err != nil {
			logger.Error(err.Error())
		}
	}()
	seen, err := observe.New(observe.Options{Getenv: getenv, Program: name, Version: function.Version(), Logger: logger})
	if err != nil {
		return err
	}
	defer func() { _ = seen.Close(ctx) }() // what it could not deliver it has told
	token, err := httphost.Token(ctx, f, func(ctx context.Context) (string, time.Time, error) {
		var o cloudrun.SecretOptions
		if host := getenv("SECRET_MANAGER_EMULATOR_HOST"); host != "" {
			o.Endpoint = "http://" + host
		}
		return cloudrun.Secret(f.TokenSecret, o)(ctx)
	})
	if err != nil {
		return err
	}
	api, err := httphost.New(httphost.Options{
		Function: f, Token: token, Local: func() (hotreader.Source, error) { return local(ctx, f, seen) },
		MaxStream: -1, // chunked answers are exempt from Cloud Run's 32 MB
		Program:   name, Logger: logger, Observer: seen,
	})
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", ":"+strconv.Itoa(f.Port))
	if err != nil {
		return &hotreader.Error{Op: "listen", Code: hotreader.CodeConfig, Err: err}
	}
	if address := seen.Page(); address != "" { // for a collector beside the program
		metrics, err := listen.Listen(ctx, "tcp", address)
		if err != nil {
			_ = l.Close()
			return &hotreader.Error{Op: "listen for OTEL_METRICS_EXPORTER=prometheus", Code: hotreader.CodeConfig, Err: err}
		}
		server := httpapi.Server(page.Handler(seen))
		go func() { _ = server.Serve(metrics) }() // it ends when it is closed
		defer func() { _ = server.Close() }()
	}
	return httphost.Serve(ctx, cloudrun.Server(api), l, httphost.Platform())
}

// local opens the store on this cloud.
func local(ctx context.Context, f *config.Function, seen *observe.Observer) (hotreader.Source, error) {
	client, err := gcpfirestore.NewClient(ctx, gcpfirestore.ClientOptions{Wrap: seen.Store})
	if err != nil {
		return nil, err
	}
	return gcpfirestore.New(client, gcpfirestore.Options{
		Project: f.Firestore.Project, Database: f.Firestore.Database, Collection: f.Firestore.Collection,
		DeviceKey: f.Items.DeviceKey, TimeKey: f.Items.TimeKey, TimeFormat: f.Items.TimeFormat,
	}), nil
}
