package s3

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"hotreader"
	"hotreader/internal/cost"
	"hotreader/store/coldstore"
	"hotreader/store/internal/failure"
)

// Restorer is a coldstore.Restorer of a bucket's objects. It is apart from Bucket, so that
// no function has it.
type Restorer struct{ Bucket *Bucket }

var tiers = map[string]types.Tier{cost.Expedited: types.TierExpedited, cost.Standard: types.TierStandard, cost.Bulk: types.TierBulk}

// Restore implements coldstore.Restorer.
func (r Restorer) Restore(ctx context.Context, o *coldstore.Object, tier string, days int) error {
	_, err := r.Bucket.client.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: &r.Bucket.name, Key: &o.Key,
		RestoreRequest: &types.RestoreRequest{Days: aws.Int32(int32(days)), GlacierJobParameters: &types.GlacierJobParameters{Tier: tiers[tier]}}})
	if err == nil {
		return nil
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "RestoreAlreadyInProgress":
			return nil
		case "NoSuchKey", "NoSuchVersion":
			return coldstore.Changed(o)
		case "InvalidObjectState": // it is in a class from which it can be read
			return nil
		}
	}
	return r.Bucket.failed(ctx, "restore "+o.Key, err, slices.Concat(restoreRules, rules))
}

// restoreRules are those that come before rules.
var restoreRules = []failure.Rule{
	{For: "AccessDenied AllAccessDisabled status:403", Code: hotreader.CodeForbidden,
		Text: "you lack s3:RestoreObject on this object: {message}"},
	{For: "GlacierExpeditedRetrievalNotAvailable", Code: hotreader.CodeThrottled,
		Text: "S3 has no capacity for expedited restores just now; try later, or take --tier standard"},
}
