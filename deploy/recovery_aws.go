package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// awsLookup finds the ids that AWS gives to what has a name only for people.
type awsLookup struct {
	cfg      aws.Config
	endpoint string // of API Gateway
}

func newAWSLookup(ctx context.Context, region string) (*awsLookup, error) {
	var load []func(*awsconfig.LoadOptions) error
	if region != "" {
		load = append(load, awsconfig.WithRegion(region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	l := &awsLookup{cfg: cfg, endpoint: "https://apigateway." + cfg.Region + ".amazonaws.com"}
	if strings.HasPrefix(cfg.Region, "cn-") {
		l.endpoint += ".cn"
	}
	if cfg.BaseEndpoint != nil {
		l.endpoint = *cfg.BaseEndpoint
	}
	if e := os.Getenv("AWS_ENDPOINT_URL_API_GATEWAY"); e != "" {
		l.endpoint = e
	}
	return l, nil
}

// id returns the import id of a resource with the arguments text, "" if there is
// none.
func (l *awsLookup) id(ctx context.Context, kind string, text func(string) string) (string, error) {
	switch kind {
	case "aws_secretsmanager_secret":
		return l.secret(ctx, text("name"))
	case "aws_api_gateway_rest_api":
		return l.item(ctx, "/restapis", func(i gatewayItem) bool { return i.Name == text("name") })
	case "aws_api_gateway_usage_plan":
		return l.item(ctx, "/usageplans", func(i gatewayItem) bool { return i.Name == text("name") })
	case "aws_api_gateway_api_key":
		return l.item(ctx, "/apikeys", func(i gatewayItem) bool { return i.Name == text("name") })
	case "aws_api_gateway_resource":
		api, parent := text("rest_api_id"), text("parent_id")
		if api == "" || parent == "" {
			return "", nil
		}
		id, err := l.item(ctx, "/restapis/"+api+"/resources", func(i gatewayItem) bool { return i.ParentID == parent && i.PathPart == text("path_part") })
		if id != "" {
			id = api + "/" + id
		}
		return id, err
	}
	return "", nil
}

func (l *awsLookup) secret(ctx context.Context, name string) (string, error) {
	out, err := secretsmanager.NewFromConfig(l.cfg).DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(name)})
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ARN), nil
}

type gatewayItem struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	ParentID string `json:"parentId"`
	PathPart string `json:"pathPart"`
}

// item returns the id of the one item of a collection of API Gateway that fits;
// several are an error, for which of them is ours cannot be told. Four signed
// requests are not worth another client library.
func (l *awsLookup) item(ctx context.Context, path string, fits func(gatewayItem) bool) (string, error) {
	id, position := "", ""
	for {
		query := "?limit=500"
		if position != "" {
			query += "&position=" + url.QueryEscape(position)
		}
		var page struct {
			Items    []gatewayItem `json:"item"`
			Position string        `json:"position"`
		}
		if err := l.get(ctx, path+query, &page); err != nil {
			return "", err
		}
		for _, i := range page.Items {
			if !fits(i) {
				continue
			}
			if id != "" {
				return "", fmt.Errorf("there are several of that name in API Gateway (%s and %s); remove the one that is not in use", id, i.ID)
			}
			id = i.ID
		}
		if position = page.Position; position == "" {
			return id, nil
		}
	}
}

func (l *awsLookup) get(ctx context.Context, path string, to any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.endpoint+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	credentials, err := l.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	empty := sha256.Sum256(nil)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, hex.EncodeToString(empty[:]), "apigateway", l.cfg.Region, time.Now()); err != nil {
		return err
	}
	client := l.cfg.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("API Gateway answered %s: %.200s", res.Status, body)
	}
	return json.Unmarshal(body, to)
}
