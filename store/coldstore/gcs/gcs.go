// Package gcs is a coldstore.Bucket of Google Cloud Storage. It speaks the JSON API:
// Google's own client alone would make a program of 34 MB.
package gcs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"hotreader"
	"hotreader/internal/endpoint"
	"hotreader/internal/retries"
	"hotreader/store/coldstore"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/storehttp"
)

// Options say which bucket it is.
type Options struct {
	Bucket   string
	Scope    string // of what is asked for; "" = ReadOnly
	Endpoint string // "" = STORAGE_EMULATOR_HOST, or Google's own. https, or http to this machine, for an emulator
}

// Bucket is a bucket.
type Bucket struct {
	http     *http.Client
	endpoint string
	name     string
}

const (
	googles = "https://storage.googleapis.com"
)

// Scopes.
const (
	ReadOnly  = "https://www.googleapis.com/auth/devstorage.read_only"
	ReadWrite = "https://www.googleapis.com/auth/devstorage.read_write"
)

// New returns a bucket that is read with Google's default credentials; an emulator needs
// none. An error is of CodeConfig.
func New(ctx context.Context, o Options) (*Bucket, error) {
	wrong := func(format string, args ...any) (*Bucket, error) {
		return nil, &hotreader.Error{Op: "cloud storage: client", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
	}
	host := os.Getenv("STORAGE_EMULATOR_HOST")
	if host != "" && !strings.Contains(host, "://") {
		host = "http://" + host
	}
	address := strings.TrimSuffix(cmp.Or(o.Endpoint, host, googles), "/")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return wrong("the endpoint %q is not a URL, as https://HOST", address)
	}
	if says := endpoint.Wrong(u); says != "" {
		return wrong("the endpoint %q %s", u.Redacted(), says)
	}
	plain := http.DefaultTransport.(*http.Transport).Clone()
	plain.DialContext = storehttp.Dial()
	var transport http.RoundTripper = plain
	if address == googles {
		credentials, err := google.FindDefaultCredentials(ctx, cmp.Or(o.Scope, ReadOnly))
		if err != nil {
			return wrong("no Google credentials are found: %w", err)
		}
		transport = &oauth2.Transport{Base: plain, Source: credentials.TokenSource}
	}
	return &Bucket{http: coldstore.Client(transport), endpoint: address, name: o.Bucket}, nil
}

// String implements coldstore.Bucket.
func (b *Bucket) String() string { return "gs://" + b.name }

// A list is a page of a list, as the API has it.
type list struct {
	Kind          string  `json:"kind"`
	NextPageToken string  `json:"nextPageToken"`
	Items         objects `json:"items"`
}

// maxPage is how many objects a page has, as asked for.
const maxPage = 1000

type objects []coldstore.Object

// UnmarshalJSON decodes one after the other: a list of nothings is short, but large in memory.
func (o *objects) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	_, err := d.Token() // the opening bracket
	for err == nil && d.More() {
		if len(*o) == maxPage {
			return &failure.Damaged{Err: fmt.Errorf("a page of the list has more than the %d objects asked for; check the endpoint", maxPage)}
		}
		var one struct {
			Name       string    `json:"name"`
			Size       int64     `json:"size,string"`
			Generation string    `json:"generation"`
			Updated    time.Time `json:"updated"`
		}
		if err = d.Decode(&one); err == nil {
			*o = append(*o, coldstore.Object{Key: one.Name, Size: one.Size, Version: one.Generation, Modified: one.Updated})
		}
	}
	return err
}

// List implements coldstore.Bucket.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[coldstore.Page, error] {
	q := url.Values{"prefix": {prefix}, "startOffset": {after}, "maxResults": {strconv.Itoa(maxPage)}, "fields": {"kind,nextPageToken,items(name,size,generation,updated)"}}
	return coldstore.Pages(func() (page coldstore.Page, err error) {
		var l list
		resp, err := b.send(ctx, http.MethodGet, "/storage/v1/b/"+url.PathEscape(b.name)+"/o?"+q.Encode(), nil, nil)
		if err == nil {
			err = json.NewDecoder(resp.Body).Decode(&l)
			resp.Body.Close()
		}
		if err == nil && l.Kind != "storage#objects" && len(l.Items) == 0 {
			err = &failure.Damaged{Err: errors.New("the answer is no list of a bucket; check the endpoint")}
		}
		if err != nil {
			return page, b.fail(ctx, "list", err)
		}
		page.Objects = l.Items
		q.Set("pageToken", l.NextPageToken)
		page.More = l.NextPageToken != ""
		return page, nil
	})
}

// Read implements coldstore.Bucket.
func (b *Bucket) Read(ctx context.Context, o *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	q := url.Values{"alt": {"media"}, "generation": {o.Version}, "ifGenerationMatch": {o.Version}}
	resp, err := b.send(ctx, http.MethodGet, "/download/storage/v1/b/"+url.PathEscape(b.name)+"/o/"+url.PathEscape(o.Key)+"?"+q.Encode(), http.Header{
		"Range":           {fmt.Sprintf("bytes=%d-%d", at, at+n-1)},
		"Accept-Encoding": {"gzip"}, // as it is stored: it is read in parts
	}, nil)
	if err == nil {
		return coldstore.Part(resp.Body, o, at, resp.Header.Get("Content-Range"), resp.Header.Get("X-Goog-Generation"))
	}
	if r, ok := errors.AsType[*refusal](err); ok && (r.status == http.StatusNotFound || r.status == http.StatusPreconditionFailed) {
		return nil, coldstore.Changed(o)
	}
	return nil, b.fail(ctx, "read "+o.Key, err)
}

// Target is a Bucket that is written. Its Scope is ReadWrite.
type Target struct{ *Bucket }

// Put implements coldstore.Target.
func (t Target) Put(ctx context.Context, key string, body []byte) (bool, error) {
	q := url.Values{"uploadType": {"media"}, "name": {key}, "ifGenerationMatch": {"0"}}
	resp, err := t.send(ctx, http.MethodPost, "/upload/storage/v1/b/"+url.PathEscape(t.name)+"/o?"+q.Encode(), nil, body)
	if r, ok := errors.AsType[*refusal](err); ok && r.status == http.StatusPreconditionFailed {
		return false, nil
	}
	if err != nil {
		return false, t.fail(ctx, "write", err)
	}
	return true, resp.Body.Close()
}

// A refusal is an answer whose status is not a success.
type refusal struct {
	status  int
	message string
	after   time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("status %d: %s", r.status, r.message) }

// maxTries is how often a request is made that may succeed if it is made again.
const maxTries = 4

// send makes a request.
func (b *Bucket) send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	for try := 1; ; try++ {
		resp, err := b.once(ctx, method, path, header, body)
		r, refused := errors.AsType[*refusal](err)
		if err == nil || try == maxTries || ctx.Err() != nil || refused && r.status < 500 && r.status != http.StatusTooManyRequests {
			return resp, err
		}
		if err := retries.Wait(ctx, rand.N(100*time.Millisecond<<try)); err != nil {
			return nil, err
		}
	}
}

func (b *Bucket) once(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, b.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		r.Header = header
	}
	resp, err := b.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	var said struct{ Error struct{ Message string } }
	if json.Unmarshal(text, &said) != nil || said.Error.Message == "" {
		said.Error.Message = string(bytes.TrimSpace(text))
	}
	return nil, &refusal{resp.StatusCode, said.Error.Message, failure.RetryAfter(resp.Header)}
}

// rules go by the HTTP status.
var rules = []failure.Rule{
	{For: "404", Code: hotreader.CodeNotFound, Text: "there is no such bucket; check its name"},
	{For: "401", Code: hotreader.CodeConfig, Text: "the credentials were rejected: {message}"},
	{For: "403", Doing: "list", Code: hotreader.CodeForbidden, Text: "the service account lacks storage.objects.list on this bucket: {message}"},
	{For: "403", Doing: "write", Code: hotreader.CodeForbidden, Text: "the service account lacks storage.objects.create on this bucket: {message}"},
	{For: "403", Code: hotreader.CodeForbidden, Text: "the service account lacks storage.objects.get on this object: {message}"},
	{For: "429", Code: hotreader.CodeThrottled, Text: "the bucket takes no more requests just now: {message}"},
	{For: "500 502 503 504", Code: hotreader.CodeUnavailable, Text: "{error}"},
}

func (b *Bucket) fail(ctx context.Context, doing string, err error) error {
	f := failure.Failure{Op: "cloud storage: " + doing + " of bucket " + b.name, Doing: doing, Err: err, Words: []string{"service", "Cloud Storage", "endpoint", b.endpoint}}
	if r, ok := errors.AsType[*refusal](err); ok {
		f.Names, f.Message, f.RetryAfter = []string{strconv.Itoa(r.status)}, r.message, r.after
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		f.Err = &failure.Damaged{Err: err}
	}
	return f.Error(ctx, rules)
}
