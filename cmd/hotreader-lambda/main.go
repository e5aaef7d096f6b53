// Command hotreader-lambda is the bootstrap of the AWS functions: hot-reader,
// hot-reader-last-entry and hot-reader-api, whichever _HANDLER names. Its
// environment is that of package config. What is wrong with it is reported to
// Lambda and on stderr before the first event is asked for, all at once,
// and the program exits with 1.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/catalog"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/function"
	"hotreader/function/awslambda"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/observe"
	"hotreader/store/awsdynamodb"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/coldurl"
	"hotreader/store/coldstore/s3"
)

func main() {
	log.SetFlags(0) // so that the JSON with which aws-lambda-go logs a failed query stays JSON
	collectSeldom(os.Getenv)
	takeOneProcessor(os.Getenv)
	handler, err := run(os.Getenv, os.Stderr)
	if err != nil {
		fail(os.Getenv("AWS_LAMBDA_RUNTIME_API"), err, os.Stderr)
		os.Exit(1)
	}
	bufferPosts()
	lambda.Start(handler) // does not return
}

// bufferPosts makes aws-lambda-go send an answer in as few writes as it can. It
// posts in pieces of 32 KB through a copy of Go's default transport, whose own
// buffer of 4 KB makes two writes of each.
func bufferPosts() {
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t.WriteBufferSize = 64 << 10
	}
}

// collectSeldom makes garbage collections rare. A query's answer is megabytes, all
// else of the program is little: by Go's own measure there is a collection for
// nearly every query, which costs a fifth of its time and the buffers that are
// kept from query to query. The function's memory bounds it. What GOGC and
// GOMEMLIMIT say goes before.
func collectSeldom(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if mb, err := strconv.Atoi(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")); err == nil && getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(mb) << 20 * 3 / 4)
	}
}

// takeOneProcessor makes Go use one processor where Lambda gives the function no
// more: a function sees two, of which it may use as much time as its memory pays
// for, one processor's at 1,769 MB. A second one would look for work most of that
// time, since a query is one step after the other. What GOMAXPROCS says goes before.
func takeOneProcessor(getenv func(string) string) {
	if mb, err := strconv.Atoi(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")); err == nil && mb <= 1769 && getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// tokenPurpose separates the keys of nextTokens from other uses of the token.
const tokenPurpose = "hotreader twinmaker page"

// run makes the handler that the environment asks for.
func run(getenv func(string) string, stderr io.Writer) (lambda.Handler, error) {
	f, err := config.Lambda(getenv)
	if getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		err = errors.Join(err, &hotreader.Error{Op: "hotreader-lambda", Code: hotreader.CodeConfig,
			Err: errors.New("AWS_LAMBDA_RUNTIME_API: is not set; this program is the bootstrap of a Lambda function, and runs there only")})
	}
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: f.LogLevel}))
	seen, err := observe.New(observe.Options{
		Getenv: getenv, Program: string(f.Role), Version: function.Version(), Logger: logger,
		Function: cmp.Or(getenv("AWS_LAMBDA_FUNCTION_NAME"), string(f.Role)),
	})
	if err != nil {
		return nil, err
	}
	own, err := function.Identify(context.Background(), f, function.Secrets{Logger: logger,
		Secret: func(name string) identity.Fetch { return awslambda.Secret(getenv, name) },
		Sign:   func(audience string) identity.Fetch { return awslambda.Sign(getenv, audience) },
	})
	if err != nil {
		return nil, err
	}
	devices, err := openCatalog(f)
	if err != nil {
		return nil, err
	}
	parts := function.Parts{
		Local:    func() (hotreader.Source, error) { return local(f, seen) },
		Objects:  func(url string) (hotreader.Source, error) { return coldurl.Open(url, f.Layout, bucket) },
		Identity: own, Catalog: devices, Program: "hotreader-lambda", Observer: seen,
	}
	if f.Role == config.API {
		api, err := parts.API(f, httpapi.Options{MaxAnswer: awslambda.MaxBody, MaxTime: awslambda.MaxTime, Logger: logger})
		if err != nil {
			return nil, err
		}
		return seen.Invoker("", awslambda.API(api, logger, seen)), nil
	}
	parts.Values = answerValues
	parts.TraceID = func(ctx context.Context) string { return cmp.Or(seen.TraceID(ctx), awslambda.TraceID(ctx)) }
	src, err := parts.Source(f)
	if err != nil {
		return nil, err
	}
	twin := awslambda.Twin{
		Devices:   twinmaker.Devices{Twin: f.Twin, Catalog: devices, Lookup: twinmaker.CacheLookup(awslambda.Lookup(getenv))},
		Responder: twinmaker.Responder{Reader: hotreader.NewReader(f.Devices.Guard(src)), LookBack: f.LookBack},
		Logger:    logger, Observer: seen, TraceID: seen.TraceID, Reuse: lambdacontext.MaxConcurrency() == 1,
	}
	if keys := own.PageKeys(); keys != nil {
		twin.Responder.Keys, twin.Responder.Renew = func() [][]byte { return keys.Keys(tokenPurpose) }, keys.Renew
	}
	answer := awslambda.History
	if f.Role == config.LastEntry {
		answer = awslambda.LastEntry
	}
	return seen.Invoker(string(f.Role), answer(twin)), nil
}

// answerValues is more than a twin's answer can hold: a point has 60 bytes and
// more. What is read ahead beyond that would be read, and paid for, in vain.
const answerValues = twinmaker.DefaultMaxBytes / 60

// openCatalog opens the catalogue. A twin's reader has one of the devices that may be read,
// for fleets, suggestions and counts would tell of others.
func openCatalog(f *config.Function) (*catalog.Catalog, error) {
	c, err := function.OpenCatalog(f.Catalog)
	if err != nil || c == nil || f.Role == config.API || len(f.Devices) == 0 {
		return c, err
	}
	return c.Only(f.Devices.Has)
}

// local returns the store on this cloud.
func local(f *config.Function, seen *observe.Observer) (*awsdynamodb.Store, error) {
	client, err := awsdynamodb.NewFunctionClient(awsdynamodb.ClientOptions{})
	if err != nil {
		return nil, err
	}
	client = dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.HTTPClient = seen.StoreClient(o.HTTPClient) })
	return awsdynamodb.New(client, awsdynamodb.Options{Table: f.Table, Layout: f.Layout}), nil
}

// bucket opens object storage on this cloud.
func bucket(u *url.URL) (coldstore.Bucket, string, error) {
	q := u.Query()
	b, err := s3.NewFunction(s3.Options{Bucket: u.Host, Region: q.Get("region"), Endpoint: q.Get("endpoint")})
	return b, coldurl.Key(u), err
}

// fail reports to Lambda, and to the log, why there is no function.
// aws-lambda-go has no call for it.
func fail(runtimeAPI string, err error, stderr io.Writer) {
	fmt.Fprintln(stderr, err)
	if runtimeAPI == "" {
		return
	}
	kind := awslambda.ErrorType(hotreader.CodeOf(err))
	body, merr := json.Marshal(map[string]any{"errorType": kind, "errorMessage": err.Error(), "stackTrace": []string{}})
	if merr != nil {
		fmt.Fprintln(stderr, merr)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, rerr := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+runtimeAPI+"/2018-06-01/runtime/init/error", bytes.NewReader(body))
	if rerr != nil {
		fmt.Fprintln(stderr, "report to Lambda:", rerr)
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Lambda-Runtime-Function-Error-Type", kind)
	resp, rerr := (&http.Client{Transport: &http.Transport{}}).Do(req) // no proxy: the address is this machine's
	if rerr != nil {
		fmt.Fprintln(stderr, "report to Lambda:", rerr)
		return
	}
	_ = resp.Body.Close() // there is nothing in it
}
