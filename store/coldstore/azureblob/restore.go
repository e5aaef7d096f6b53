package azureblob

import (
	"context"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"hotreader"
	"hotreader/internal/cost"
	"hotreader/store/coldstore"
	"hotreader/store/internal/failure"
)

// Restorer is a coldstore.Restorer of a container's blobs: it sets the tier of what is
// archived to Hot, where nothing is billed for reading or leaving again. It is apart from
// Bucket, so that no function has it.
type Restorer struct{ Bucket *Bucket }

// Restore implements coldstore.Restorer. There are no copies: the blob stays in its new
// tier.
func (r Restorer) Restore(ctx context.Context, o *coldstore.Object, tier string, _ int) error {
	priority := blob.RehydratePriorityStandard
	if tier == cost.Expedited {
		priority = blob.RehydratePriorityHigh
	}
	_, err := r.Bucket.client.NewBlobClient(o.Key).SetTier(ctx, blob.AccessTierHot, &blob.SetTierOptions{RehydratePriority: &priority})
	switch {
	case err == nil, bloberror.HasCode(err, bloberror.BlobBeingRehydrated):
		return nil
	case bloberror.HasCode(err, bloberror.BlobNotFound):
		return coldstore.Changed(o)
	}
	return r.Bucket.failed(ctx, "restore "+o.Key, err, slices.Concat(restoreRules, rules))
}

// restoreRules are those that come before rules.
var restoreRules = []failure.Rule{
	{For: "AuthorizationPermissionMismatch AuthorizationFailure InsufficientAccountPermissions status:403", Code: hotreader.CodeForbidden,
		Text: "the identity may not set this blob's tier: {message}; it needs the role Storage Blob Data Contributor, and the account's firewall must let it in"},
}
