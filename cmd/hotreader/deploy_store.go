package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader/config"
	"hotreader/deploy"
)

// holdsData returns what looks whether a cloud's hot storage holds anything.
func (a *app) holdsData(*deploy.Engine) func(context.Context, deploy.SideStatus) (bool, error) {
	return func(ctx context.Context, s deploy.SideStatus) (bool, error) {
		if s.Cloud != config.AWS {
			return true, fmt.Errorf("this program looks into DynamoDB only")
		}
		var load []func(*awsconfig.LoadOptions) error
		if s.Region != "" {
			load = append(load, awsconfig.WithRegion(s.Region))
		}
		cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
		if err != nil {
			return true, err
		}
		out, err := dynamodb.NewFromConfig(cfg).Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(s.Store), Limit: aws.Int32(1)})
		if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
			return false, nil // removed by hand
		}
		if err != nil {
			return true, err
		}
		return len(out.Items) > 0, nil
	}
}
