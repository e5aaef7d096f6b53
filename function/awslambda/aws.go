package awslambda

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iottwinmaker"
	"github.com/aws/aws-sdk-go-v2/service/iottwinmaker/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/identity"
	"hotreader/internal/bounded/awsbound"
)

// credentials are those that Lambda puts into the environment from the
// function's role. They are read for each request anew. (The SDK's own loader
// would look into files and at other services first, and is not linked.)
func credentials(getenv func(string) string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		c := aws.Credentials{
			AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    getenv("AWS_SESSION_TOKEN"),
			Source:          "environment",
		}
		if !c.HasKeys() {
			return aws.Credentials{}, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set; Lambda sets them from the function's role")
		}
		return c, nil
	})
}

// endpoint is where a service is, if the environment says so.
func endpoint(getenv func(string) string, service string) *string {
	if url := cmp.Or(getenv("AWS_ENDPOINT_URL_"+service), getenv("AWS_ENDPOINT_URL")); url != "" {
		return &url
	}
	return nil
}

// awsError gives an AWS call's error a code. what says what was to be done,
// permission what the role needs for it.
func awsError(op string, err error, permission string) error {
	code := hotreader.CodeUnavailable
	if e, ok := errors.AsType[smithy.APIError](err); ok { // else no service was reached
		switch name := e.ErrorCode(); {
		case strings.Contains(name, "AccessDenied") || strings.Contains(name, "NotAuthorized"):
			return &hotreader.Error{Op: op, Code: hotreader.CodeForbidden, Err: fmt.Errorf("the function's role lacks %s: %w", permission, err)}
		case strings.Contains(name, "Throttl") || strings.Contains(name, "TooManyRequests") || strings.Contains(name, "LimitExceeded"):
			code = hotreader.CodeThrottled
		case name == "ResourceNotFoundException":
			code = hotreader.CodeNotFound
		case strings.HasPrefix(name, "OutboundWebIdentityFederationDisabled"):
			return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: fmt.Errorf("outbound identity federation is not enabled for the AWS account, which then signs no tokens: %w", err)}
		case name == "ValidationException" || name == "InvalidParameterException" || name == "InvalidRequestException":
			code = hotreader.CodeConfig
		}
	}
	if c := hotreader.CodeOf(err); c == hotreader.CodeDeadline || c == hotreader.CodeCanceled {
		code = c
	}
	return &hotreader.Error{Op: op, Code: code, Err: err}
}

// Lookup returns a lookup of components by TwinMaker's GetEntity. The role needs
// iottwinmaker:GetEntity. The client is made when it is first needed, for most twins
// never need it. Wrap it with twinmaker.CacheLookup.
func Lookup(getenv func(string) string) twinmaker.Lookup {
	if getenv("AWS_ENDPOINT_URL_IOTTWINMAKER") == config.NoTwinMaker {
		return func(_ context.Context, _, entity, component string) (twinmaker.Component, error) {
			return twinmaker.Component{}, &hotreader.Error{Op: "twinmaker: get entity", Code: hotreader.CodeInvalid,
				Err: fmt.Errorf("the local target has no TwinMaker to ask for the component %.128q of the entity %.128q; give the component's external id a value", component, entity)}
		}
	}
	client := sync.OnceValue(func() *iottwinmaker.Client {
		o := iottwinmaker.Options{Region: getenv("AWS_REGION"), Credentials: credentials(getenv), APIOptions: awsbound.Options()}
		if o.BaseEndpoint = endpoint(getenv, "IOTTWINMAKER"); o.BaseEndpoint != nil {
			// The SDK puts "api." before any host, also before one that was
			// given to it.
			o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
				return s.Initialize.Add(middleware.InitializeMiddlewareFunc("PlainHost",
					func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
						return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
					}), middleware.Before)
			})
		}
		return iottwinmaker.New(o)
	})
	return func(ctx context.Context, workspace, entity, component string) (twinmaker.Component, error) {
		out, err := client().GetEntity(ctx, &iottwinmaker.GetEntityInput{WorkspaceId: &workspace, EntityId: &entity})
		if err != nil {
			return twinmaker.Component{}, entityError(err, workspace, entity)
		}
		// Of a component within components, GetEntity has the type alone, and only
		// of those one level below.
		name, path, within := strings.Cut(component, "/")
		c, ok := out.Components[name]
		if ok && within {
			var inner types.ComponentSummary
			inner, ok = c.CompositeComponents[path]
			c = types.ComponentResponse{ComponentTypeId: inner.ComponentTypeId}
		}
		if !ok {
			return twinmaker.Component{}, &hotreader.Error{Op: "twinmaker: get entity", Code: hotreader.CodeInvalid,
				Err: fmt.Errorf("GetEntity has no component %.128q of the entity %.128q; give the component's external id a value", component, entity)}
		}
		id, err := externalID(c)
		return twinmaker.Component{ExternalID: id, TypeID: aws.ToString(c.ComponentTypeId)}, err
	}
}

// entityError gives an error of GetEntity a code, and words that do not send its caller
// to look in storage.
func entityError(err error, workspace, entity string) error {
	const permission = "iottwinmaker:GetEntity"
	e, _ := errors.AsType[*hotreader.Error](awsError("twinmaker: get entity", err, permission))
	what := "was not reached; try again"
	switch e.Code {
	case hotreader.CodeForbidden:
		what = "was rejected; allow the function's role " + permission + " on this workspace"
	case hotreader.CodeNotFound:
		what = "found no such entity, or no such workspace"
	case hotreader.CodeThrottled:
		what = "is asked too often; try again later"
	case hotreader.CodeDeadline:
		what = "did not answer in time; try again"
	case hotreader.CodeCanceled:
		what = "was broken off"
	case hotreader.CodeConfig:
		what = "does not take these ids"
	}
	const instead = ". A component whose external id has a value needs no GetEntity"
	e.Err = &twinmaker.Said{Text: fmt.Sprintf("TwinMaker's GetEntity of the entity %.128q in the workspace %.128q %s", entity, workspace, what) + instead, Err: e.Err}
	return e
}

// externalID returns the external id that a component has, or "". Of several, all
// must be the same.
func externalID(c types.ComponentResponse) (id string, err error) {
	for _, p := range c.Properties {
		if p.Definition == nil || !aws.ToBool(p.Definition.IsExternalId) {
			continue
		}
		for _, v := range []*types.DataValue{p.Value, p.Definition.DefaultValue} {
			text := ""
			if v != nil {
				text = aws.ToString(v.StringValue)
			}
			if text != "" && id != "" && text != id {
				return "", &hotreader.Error{Op: "twinmaker: get entity", Code: hotreader.CodeInvalid,
					Err: fmt.Errorf("the component's properties that are external ids have different values, as %.128q; expected one external id", id)}
			}
			if text != "" {
				id = text
				break // the value goes before the default value
			}
		}
	}
	return id, nil
}

// Secret returns a fetch, for identity.Fetched, of the current value of a secret of
// AWS Secrets Manager. The role needs secretsmanager:GetSecretValue on it.
func Secret(getenv func(string) string, arn string) identity.Fetch {
	region := getenv("AWS_REGION")
	if parts := strings.Split(arn, ":"); len(parts) > 3 && parts[3] != "" {
		region = parts[3]
	}
	client := secretsmanager.New(secretsmanager.Options{
		Region:       region,
		Credentials:  credentials(getenv),
		BaseEndpoint: endpoint(getenv, "SECRETS_MANAGER"),
		APIOptions:   awsbound.Options(),
	})
	return func(ctx context.Context) (string, time.Time, error) {
		out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
		if err != nil {
			return "", time.Time{}, awsError("secrets manager: get secret value", err, "secretsmanager:GetSecretValue on "+arn)
		}
		if out.SecretString == nil {
			return "", time.Time{}, &hotreader.Error{Op: "secrets manager: get secret value", Code: hotreader.CodeConfig,
				Err: errors.New("the secret is binary; expected the token as text")}
		}
		return *out.SecretString, aws.ToTime(out.CreatedDate), nil // of this version
	}
}

// signedFor is how long a token is valid that AWS signs, the longest that it allows.
const signedFor = 3600 // seconds

// Sign returns a fetch, for identity.NewSigned, of tokens that AWS signs for the
// function's role and an audience. The role needs sts:GetWebIdentityToken, and the
// account outbound identity federation.
func Sign(getenv func(string) string, audience string) identity.Fetch {
	client := sts.New(sts.Options{Region: getenv("AWS_REGION"), Credentials: credentials(getenv), BaseEndpoint: endpoint(getenv, "STS"), APIOptions: awsbound.Options()})
	return func(ctx context.Context) (string, time.Time, error) {
		out, err := client.GetWebIdentityToken(ctx, &sts.GetWebIdentityTokenInput{
			Audience: []string{audience}, SigningAlgorithm: aws.String("RS256"), DurationSeconds: aws.Int32(signedFor)})
		if err != nil {
			return "", time.Time{}, awsError("sts: get web identity token", err, "sts:GetWebIdentityToken for the audience "+audience)
		}
		return aws.ToString(out.WebIdentityToken), time.Time{}, nil
	}
}
