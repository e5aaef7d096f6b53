package deploy

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"hotreader/config"
	"hotreader/deploy/topology"
)

// errDisabled says that AWS signs nothing for this account.
var errDisabled = errors.New("outbound identity federation is not enabled for this AWS account, so it signs no tokens; " +
	"an administrator enables it once for the account: aws iam enable-outbound-web-identity-federation")

func isDisabled(err error) bool { return errors.Is(err, errDisabled) }

// Issuer returns the address under which AWS publishes the keys of the account's tokens.
// The error says so if the account has none.
func Issuer(ctx context.Context, region string) (string, error) {
	l, err := newAWSLookup(ctx, region)
	if err != nil {
		return "", err
	}
	return l.issuer(ctx)
}

// issuer asks IAM, whose one endpoint is in one region of each partition.
func (l *awsLookup) issuer(ctx context.Context) (string, error) {
	iam := *l
	iam.service, iam.endpoint = "iam", "https://iam.amazonaws.com"
	region := "us-east-1"
	switch {
	case strings.HasPrefix(l.cfg.Region, "cn-"):
		iam.endpoint, region = "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"
	case strings.HasPrefix(l.cfg.Region, "us-gov-"):
		iam.endpoint, region = "https://iam.us-gov.amazonaws.com", "us-gov-west-1"
	}
	iam.cfg.Region = region
	for _, given := range []string{aws.ToString(l.cfg.BaseEndpoint), os.Getenv("AWS_ENDPOINT_URL_IAM")} {
		if given != "" {
			iam.endpoint = given
		}
	}
	status, body, err := iam.ask(ctx, "/?Action=GetOutboundWebIdentityFederationInfo&Version=2010-05-08")
	if err != nil {
		return "", configError("AWS IAM", "%w", err)
	}
	var answer struct {
		Issuer  string `xml:"GetOutboundWebIdentityFederationInfoResult>IssuerIdentifier"`
		Enabled bool   `xml:"GetOutboundWebIdentityFederationInfoResult>JwtVendingEnabled"`
		Code    string `xml:"Error>Code"`
	}
	_ = xml.Unmarshal(body, &answer) // else there is nothing in it
	switch {
	case strings.HasPrefix(answer.Code, "FeatureDisabled"), status == http.StatusOK && answer.Issuer != "" && !answer.Enabled:
		return "", configError("AWS IAM", "%w", errDisabled)
	case status != http.StatusOK || answer.Issuer == "":
		return "", configError("AWS IAM", "GetOutboundWebIdentityFederationInfo, which says the account's issuer, answered %d: %.200s; "+
			"you need the permission iam:GetOutboundWebIdentityFederationInfo", status, body)
	}
	if !strings.Contains(answer.Issuer, "://") {
		answer.Issuer = "https://" + answer.Issuer
	}
	return answer.Issuer, nil
}

// accountNote says, before AWS does, that an account lacks what a stage's access
// log needs: the role with which API Gateway writes logs, of which an account has
// one in a region. "" = nothing to say, also where it cannot be found out.
func (w *work) accountNote(ctx context.Context, s topology.Side, p SidePlan) string {
	stage := slices.ContainsFunc(p.Changes, func(c ResourceChange) bool {
		return c.Action == Create && noun("aws_api_gateway_stage") == c.What
	})
	if s.Cloud != config.AWS || !stage || w.Project.Options.AWS.AccountLogRole {
		return ""
	}
	lookup, err := newAWSLookup(ctx, w.Project.Options.AWS.Region)
	if err != nil {
		return ""
	}
	var account struct {
		Role string `json:"cloudwatchRoleArn"`
	}
	if err := lookup.get(ctx, "/account", &account); err != nil || account.Role != "" {
		return ""
	}
	return `API Gateway has no role yet with which to write logs in this account and region, so AWS will reject the stage; ` +
		`have one made with "aws": {"account_log_role": true} in config_hot_reader.json, or set one yourself`
}
