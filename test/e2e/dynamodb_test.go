//go:build engines

package e2e

import (
	"fmt"
	"testing"

	"hotreader"
	"hotreader/route"
	"hotreader/store/awsdynamodb"
	"hotreader/store/storetest"
	"hotreader/test/engine"
)

// A twin on AWS reads its own cloud's DynamoDB, and, from another cloud, the
// same table through the API in front of it.
func TestTwinReadsDynamoDB(t *testing.T) {
	t.Parallel()
	endpoint := engine.DynamoDB(t)
	env := []string{"AWS_ACCESS_KEY_ID=" + engine.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + engine.SecretAccessKey}
	s := telemetry(t)
	table := "machine-hot-iot-data"
	if err := awsdynamodb.CreateTable(t.Context(), engine.DynamoDBClient(t), awsdynamodb.Options{Table: table}); err != nil {
		t.Fatal(err)
	}
	store := "dynamodb://" + table + "?region=" + engine.Region + "&endpoint=" + endpoint
	importFile(t, env, store, s.file)
	t.Run("local", func(t *testing.T) {
		checkTwin(t, newTwin(t, map[string]string{
			"DIGITAL_TWIN_INFO":         `{"config":{"digital_twin_name":"machine"},"config_providers":{"layer_3_hot_provider":"aws","layer_4_provider":"aws"}}`,
			"DYNAMODB_TABLE_NAME":       table,
			"AWS_ENDPOINT_URL_DYNAMODB": endpoint,
			"AWS_ACCESS_KEY_ID":         engine.AccessKeyID,
			"AWS_SECRET_ACCESS_KEY":     engine.SecretAccessKey,
		}), s)
	})
	t.Run("remote", func(t *testing.T) {
		api := serve(t, env, store, "127.0.0.1:0")
		checkTwin(t, newTwin(t, remoteEnv(api.URL)), s)
	})
}

func TestRetriedRoutedRemoteDynamoDBConforms(t *testing.T) {
	t.Parallel()
	client := engine.DynamoDBClient(t)
	tables := 0
	storetest.Run(t, storetest.Harness{
		NoStats:         true,
		RewritesNumbers: true,
		New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			tables++
			o := awsdynamodb.Options{Table: fmt.Sprint("conforms-", tables)}
			if err := awsdynamodb.CreateTable(t.Context(), client, o); err != nil {
				t.Fatal(err)
			}
			store := awsdynamodb.New(client, o)
			return route.NewRetry(through(t, store, false), route.RetryOptions{}), store
		},
	})
}
