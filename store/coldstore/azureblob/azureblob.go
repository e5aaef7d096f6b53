// Package azureblob is a coldstore.Bucket of Azure Blob Storage: a container.
package azureblob

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"hotreader"
	"hotreader/internal/bounded/azurebound"
	"hotreader/internal/endpoint"
	"hotreader/store/coldstore"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/storehttp"
)

// Options say which container it is.
type Options struct {
	Account   string
	Container string
	Endpoint  string // of the account; "" = AZURE_STORAGE_BLOB_ENDPOINT, or https://ACCOUNT.blob.core.windows.net. https, or http to this machine, for an emulator
}

// Bucket is a container.
type Bucket struct {
	client   *container.Client
	name     string
	endpoint string
}

// New returns a container that is read with AZURE_STORAGE_KEY, or with the identity that
// every Azure tool would find on this machine. It is for programs that people start; a
// function's is NewFunction. An error is of CodeConfig.
func New(o Options) (*Bucket, error) {
	return newBucket(o, azurebound.Default)
}

// NewFunction returns a container that is read with AZURE_STORAGE_KEY, or with the managed
// identity of the function: the one that AZURE_CLIENT_ID names, or else the system's. An
// error is of CodeConfig.
func NewFunction(o Options) (*Bucket, error) {
	return newBucket(o, func() (azcore.TokenCredential, error) { return azurebound.Managed(os.Getenv("AZURE_CLIENT_ID")) })
}

func newBucket(o Options, identify func() (azcore.TokenCredential, error)) (*Bucket, error) {
	wrong := func(format string, args ...any) (*Bucket, error) {
		return nil, &hotreader.Error{Op: "azure blob: client", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
	}
	address := cmp.Or(o.Endpoint, os.Getenv("AZURE_STORAGE_BLOB_ENDPOINT"), "https://"+o.Account+".blob.core.windows.net")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return wrong("the endpoint %q is not a URL, as https://HOST", address)
	}
	if says := endpoint.Wrong(u); says != "" {
		return wrong("the endpoint %q %s", u.Redacted(), says)
	}
	// A body with a Content-Encoding must come as it is stored: it is read in parts.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true
	transport.DialContext = storehttp.Dial()
	options := container.ClientOptions{ClientOptions: policy.ClientOptions{Transport: coldstore.Client(transport)}}
	full := u.JoinPath(o.Container).String()
	b := &Bucket{name: o.Account + "/" + o.Container, endpoint: u.Host}
	if key := os.Getenv("AZURE_STORAGE_KEY"); key != "" {
		shared, err := container.NewSharedKeyCredential(o.Account, key)
		if err == nil {
			b.client, err = container.NewClientWithSharedKeyCredential(full, shared, &options)
		}
		if err != nil {
			return wrong("AZURE_STORAGE_KEY cannot be used: %w", err)
		}
		return b, nil
	}
	if u.Scheme == "http" {
		return wrong("the endpoint %s is not https, so no token is sent there; set AZURE_STORAGE_KEY to the emulator's key", address)
	}
	identity, err := identify()
	if err == nil {
		b.client, err = container.NewClient(full, identity, &options)
	}
	if err != nil {
		return wrong("the identity cannot be set up: %w", err)
	}
	return b, nil
}

// String implements coldstore.Bucket.
func (b *Bucket) String() string { return "azblob://" + b.name }

// List implements coldstore.Bucket. What does not know StartFrom lists what comes before it, too.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[coldstore.Page, error] {
	in := container.ListBlobsFlatOptions{Prefix: &prefix}
	if after != "" {
		in.StartFrom = &after
	}
	pager := b.client.NewListBlobsFlatPager(&in)
	return coldstore.Pages(func() (page coldstore.Page, err error) {
		out, err := pager.NextPage(ctx)
		if err == nil && out.Segment == nil {
			err = &failure.Damaged{Err: errors.New("the answer is no list of a container; check the endpoint")}
		}
		if err != nil {
			return page, b.fail(ctx, "list", err)
		}
		for _, item := range out.Segment.BlobItems {
			if item.Name == nil || item.Properties == nil {
				return page, b.fail(ctx, "list", &failure.Damaged{Err: errors.New("the list has a blob without a name or properties; check the endpoint")})
			}
			page.Objects = append(page.Objects, object(item))
		}
		page.More = pager.More()
		return page, nil
	})
}

func object(item *container.BlobItem) coldstore.Object {
	p := item.Properties
	o := coldstore.Object{Key: *item.Name, Size: -1}
	if p.ContentLength != nil {
		o.Size = *p.ContentLength
	}
	if p.ETag != nil {
		o.Version = string(*p.ETag)
	}
	if p.LastModified != nil {
		o.Modified = *p.LastModified
	}
	if p.AccessTier != nil && *p.AccessTier == blob.AccessTierArchive {
		o.Archive, o.Asked = "Archive", p.ArchiveStatus != nil
	}
	return o
}

// Read implements coldstore.Bucket.
func (b *Bucket) Read(ctx context.Context, o *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	version := azcore.ETag(o.Version)
	out, err := b.client.NewBlobClient(o.Key).DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range:            blob.HTTPRange{Offset: at, Count: n},
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &version}},
	})
	switch {
	case err == nil:
		return part(&out, o, at)
	case bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ConditionNotMet):
		return nil, coldstore.Changed(o)
	}
	return nil, b.fail(ctx, "read "+o.Key, err)
}

func part(out *blob.DownloadStreamResponse, o *coldstore.Object, at int64) (io.ReadCloser, error) {
	span, version := "", ""
	if out.ContentRange != nil {
		span = *out.ContentRange
	}
	if out.ETag != nil {
		version = string(*out.ETag)
	}
	return coldstore.Part(out.Body, o, at, span, version)
}

// Target is a Bucket that is written.
type Target struct{ *Bucket }

// Put implements coldstore.Target.
func (t Target) Put(ctx context.Context, key string, body []byte) (bool, error) {
	none := azcore.ETagAny
	_, err := t.client.NewBlockBlobClient(key).Upload(ctx, streaming.NopCloser(bytes.NewReader(body)), &blockblob.UploadOptions{
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: &none}},
	})
	switch {
	case err == nil:
		return true, nil
	case bloberror.HasCode(err, bloberror.BlobAlreadyExists, bloberror.ConditionNotMet):
		return false, nil
	}
	return false, t.fail(ctx, "write", err)
}

// rules go by Azure's error codes, and after them by "status:" and the HTTP status.
var rules = []failure.Rule{
	{For: "ContainerNotFound", Code: hotreader.CodeNotFound, Text: "there is no such container; check its name and the account"},
	{For: "BlobArchived BlobBeingRehydrated", Code: hotreader.CodeNotRestored,
		Text: "the blob is in the Archive tier and must be restored before it can be read: hotreader restore asks for it"},
	{For: "AuthenticationFailed InvalidAuthenticationInfo NoAuthenticationInformation status:401", Code: hotreader.CodeConfig,
		Text: "the credentials were rejected ({code}): {message}"},
	{For: "AuthorizationPermissionMismatch AuthorizationFailure InsufficientAccountPermissions status:403", Doing: "write", Code: hotreader.CodeForbidden,
		Text: "the identity may not write into this container: {message}; it needs the role Storage Blob Data Contributor, and the account's firewall must let it in"},
	{For: "AuthorizationPermissionMismatch AuthorizationFailure InsufficientAccountPermissions status:403", Code: hotreader.CodeForbidden,
		Text: "the identity may not list and read this container: {message}; it needs the role Storage Blob Data Reader, and the account's firewall must let it in"},
	{For: "ServerBusy OperationTimedOut status:503 status:500", Code: hotreader.CodeUnavailable, Text: "{code}: {message}"},
	{For: "status:429", Code: hotreader.CodeThrottled, Text: "the account takes no more requests just now: {message}"},
	{For: "status:*", Code: hotreader.CodeStore, Text: "{code}: {message}"},
}

func (b *Bucket) fail(ctx context.Context, doing string, err error) error {
	return b.failed(ctx, doing, err, rules)
}

func (b *Bucket) failed(ctx context.Context, doing string, err error, rules []failure.Rule) error {
	f := failure.Failure{Op: "azure blob: " + doing + " of " + b.name, Doing: doing, Err: err, Words: []string{"service", "Azure Blob Storage", "endpoint", b.endpoint}}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		f.Names = []string{e.ErrorCode, "status:" + strconv.Itoa(e.StatusCode)}
		f.Message, _, _ = strings.Cut(e.Error(), "\n")
		f.Words = append(f.Words, "code", cmp.Or(e.ErrorCode, strconv.Itoa(e.StatusCode)))
		if e.RawResponse != nil {
			f.RetryAfter = failure.RetryAfter(e.RawResponse.Header)
		}
	}
	return f.Error(ctx, rules)
}
