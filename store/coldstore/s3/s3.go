// Package s3 is a coldstore.Bucket of Amazon S3, and of what speaks its protocol.
package s3

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"hotreader"
	"hotreader/internal/bounded/awsbound"
	"hotreader/store/coldstore"
	"hotreader/store/internal/awsclient"
	"hotreader/store/internal/failure"
)

// Options say which bucket it is.
type Options struct {
	Bucket   string
	Region   string // "" = AWS_REGION, or the profile's
	Endpoint string // "" = AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS's own. https, or http to this machine, for an emulator
}

// Bucket is a bucket of S3.
type Bucket struct {
	client *s3.Client
	name   string
}

const service = "S3"

// New returns a bucket that is read with the credentials, the region and the endpoint that
// every AWS tool would find on this machine. It is for programs that people start; a
// function's is NewFunction. An error is of CodeConfig.
func New(ctx context.Context, o Options) (*Bucket, error) {
	cfg, err := config.LoadDefaultConfig(ctx, func(c *config.LoadOptions) error {
		c.Region = o.Region
		c.HTTPClient = awsclient.HTTPClient()
		c.APIOptions = awsbound.Options() // of those that fetch credentials
		return nil
	})
	if err != nil {
		return nil, &hotreader.Error{Op: "s3: client", Code: hotreader.CodeConfig, Err: fmt.Errorf("the AWS configuration cannot be read: %w", err)}
	}
	return newBucket(cfg, o, o.Endpoint)
}

// NewFunction returns a bucket with what Lambda puts into a function's environment, and
// with AWS_ENDPOINT_URL_S3. An error is of CodeConfig.
func NewFunction(o Options) (*Bucket, error) {
	return newBucket(awsclient.FunctionConfig(o.Region), o, aws.ToString(awsclient.Endpoint(o.Endpoint, service)))
}

func newBucket(cfg aws.Config, o Options, endpoint string) (*Bucket, error) {
	client := s3.NewFromConfig(cfg, func(c *s3.Options) {
		if endpoint != "" {
			c.BaseEndpoint, c.UsePathStyle = &endpoint, true
		}
		c.Retryer = awsclient.Retryer(c.RetryMaxAttempts)
		c.HTTPClient, c.APIOptions = awsclient.Straight(c.HTTPClient, coldstore.Client), nil // objects may be longer
		c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		c.Logger = logging.Nop{}
		c.DisableLogOutputChecksumValidationSkipped = true
	})
	if err := awsclient.Check(cfg.Region, client.Options().BaseEndpoint, service); err != nil {
		return nil, &hotreader.Error{Op: "s3: client", Code: hotreader.CodeConfig, Err: err}
	}
	return &Bucket{client, o.Bucket}, nil
}

// String implements coldstore.Bucket.
func (b *Bucket) String() string { return "s3://" + b.name }

// List implements coldstore.Bucket.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[coldstore.Page, error] {
	in := s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &prefix, EncodingType: types.EncodingTypeUrl, // XML cannot write every key
		OptionalObjectAttributes: []types.OptionalObjectAttributes{types.OptionalObjectAttributesRestoreStatus}}
	if after != "" {
		in.StartAfter = &after
	}
	return coldstore.Pages(func() (page coldstore.Page, err error) {
		out, err := b.client.ListObjectsV2(ctx, &in)
		if err == nil && out.Name == nil && len(out.Contents) == 0 { // the SDK takes any XML, and none
			err = &failure.Damaged{Err: errNoList}
		}
		if err != nil {
			return page, b.fail(ctx, "list", err)
		}
		for i := range out.Contents {
			if key, err := url.QueryUnescape(aws.ToString(out.Contents[i].Key)); err == nil && out.EncodingType == types.EncodingTypeUrl {
				out.Contents[i].Key = &key
			}
			page.Objects = append(page.Objects, object(&out.Contents[i]))
		}
		in.ContinuationToken = out.NextContinuationToken
		page.More = aws.ToBool(out.IsTruncated) || aws.ToString(out.NextContinuationToken) != ""
		return page, nil
	})
}

var errNoList = errors.New("the answer is no list of a bucket; check the endpoint")

func object(o *types.Object) coldstore.Object {
	c := coldstore.Object{Key: aws.ToString(o.Key), Size: -1, Version: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified)}
	if o.Size != nil {
		c.Size = *o.Size
	}
	if o.StorageClass != types.ObjectStorageClassGlacier && o.StorageClass != types.ObjectStorageClassDeepArchive {
		return c
	}
	if r := o.RestoreStatus; r != nil {
		c.Asked, c.Until = aws.ToBool(r.IsRestoreInProgress), aws.ToTime(r.RestoreExpiryDate)
	}
	if c.Asked || !c.Until.After(time.Now()) {
		c.Archive = string(o.StorageClass)
	}
	return c
}

// Read implements coldstore.Bucket.
func (b *Bucket) Read(ctx context.Context, o *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	span := fmt.Sprintf("bytes=%d-%d", at, at+n-1)
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &o.Key, Range: &span, IfMatch: &o.Version})
	if err == nil {
		return coldstore.Part(out.Body, o, at, aws.ToString(out.ContentRange), aws.ToString(out.ETag))
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && (api.ErrorCode() == "PreconditionFailed" || api.ErrorCode() == "NoSuchKey") {
		return nil, coldstore.Changed(o)
	}
	return nil, b.fail(ctx, "read "+o.Key, err)
}

// Target is a Bucket that is written.
type Target struct{ *Bucket }

// Put implements coldstore.Target.
func (t Target) Put(ctx context.Context, key string, body []byte) (bool, error) {
	_, err := t.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.name, Key: &key, Body: bytes.NewReader(body), IfNoneMatch: aws.String("*"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "PreconditionFailed" {
		return false, nil
	}
	if err != nil {
		return false, t.fail(ctx, "write", err)
	}
	return true, nil
}

// rules go by S3's error codes, and after them by "status:" and the HTTP status.
var rules = []failure.Rule{
	{For: "NoSuchBucket", Code: hotreader.CodeNotFound, Text: "there is no such bucket; check its name and the account"},
	{For: "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException status:301 status:307", Code: hotreader.CodeConfig,
		Text: "the bucket is in another region than {region}: {message}; set region"},
	{For: "UnrecognizedClientException InvalidAccessKeyId SignatureDoesNotMatch ExpiredToken InvalidToken RequestTimeTooSkewed", Code: hotreader.CodeConfig,
		Text: "the AWS credentials were rejected ({code}): {message}; check that they are valid, not expired, and that the clock is right"},
	{For: "AccessDenied AllAccessDisabled AccountProblem status:403", Doing: "list", Code: hotreader.CodeForbidden,
		Text: "the role lacks s3:ListBucket on this bucket and prefix: {message}"},
	{For: "AccessDenied AllAccessDisabled AccountProblem status:403", Doing: "write", Code: hotreader.CodeForbidden,
		Text: "the role lacks s3:PutObject on this bucket and prefix: {message}"},
	{For: "InvalidObjectState", Code: hotreader.CodeNotRestored,
		Text: "the object is in archive storage and must be restored before it can be read: hotreader restore asks for it"},
	{For: "AccessDenied AllAccessDisabled KMS* status:403", Code: hotreader.CodeForbidden,
		Text: "the role lacks s3:GetObject on this object, or kms:Decrypt on its key: {message}"},
	{For: "SlowDown Throttling* TooManyRequests* status:429", Code: hotreader.CodeThrottled, Text: "the bucket takes no more requests just now: {message}"},
	{For: "status:3*", Code: hotreader.CodeProtocol, Text: "the endpoint redirects ({code}), which is not followed; check the endpoint"},
	{For: "status:503 status:500", Code: hotreader.CodeUnavailable, Text: "{code}: {message}"},
	{For: "status:*", Code: hotreader.CodeStore, Text: "{code}: {message}"},
}

// fail makes err, which a call of the SDK returned, an *hotreader.Error.
func (b *Bucket) fail(ctx context.Context, doing string, err error) error {
	return b.failed(ctx, doing, err, rules)
}

func (b *Bucket) failed(ctx context.Context, doing string, err error, rules []failure.Rule) error {
	f := failure.Failure{Op: "s3: " + doing + " of bucket " + b.name, Doing: doing, Err: err, Words: []string{
		"service", "S3", "endpoint", cmp.Or(aws.ToString(b.client.Options().BaseEndpoint), "S3"), "region", b.client.Options().Region}}
	if at := awsclient.Tell(&f, err).Get("X-Amz-Bucket-Region"); at != "" && at != b.client.Options().Region {
		f.Message += " (it is in " + at + ")"
	}
	return f.Error(ctx, rules)
}
