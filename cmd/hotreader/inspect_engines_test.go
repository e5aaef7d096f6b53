//go:build engines

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader/config"
	"hotreader/test/engine"
	"hotreader/test/laidout"
)

// createShape makes a table of a shape's items.
func createShape(t *testing.T, table string, s *laidout.Shape) {
	t.Helper()
	client := engine.DynamoDBClient(t)
	kind := map[string]types.ScalarAttributeType{}
	for _, key := range []string{s.Partition, s.Sort} {
		kind[key] = types.ScalarAttributeTypeS
		if _, number := s.Fields()[0][key].(json.Number); number {
			kind[key] = types.ScalarAttributeTypeN
		}
	}
	if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{TableName: &table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &s.Partition, AttributeType: kind[s.Partition]}, {AttributeName: &s.Sort, AttributeType: kind[s.Sort]}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: &s.Partition, KeyType: types.KeyTypeHash}, {AttributeName: &s.Sort, KeyType: types.KeyTypeRange}}}); err != nil {
		t.Fatal(err)
	}
	for _, fields := range s.Fields() {
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: engine.Attribute(fields).(*types.AttributeValueMemberM).Value}); err != nil {
			t.Fatal(err)
		}
	}
}

// Without knowledge of a table, one pastes what inspect prints, and gets the latest
// value.
func TestInspectLeadsToLatest(t *testing.T) {
	for _, v := range engine.DynamoDBEnv(t) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	for i, s := range laidout.Shapes {
		if s.Nested() {
			continue
		}
		table := fmt.Sprintf("inspected-%d", i)
		createShape(t, table, &s)
		args := []string{"inspect", "--store", "dynamodb://" + table + "?region=us-east-1&time_key=nonsense"}
		if s.Device != "" {
			args = append(args, "--device", s.Device)
		}
		var out, talk bytes.Buffer
		code := run(t.Context(), args, nil, &out, &talk)
		if s.Broken {
			if code != exitConfig || !strings.Contains(talk.String(), s.Says) {
				t.Errorf("%s: code %d, %s%s", s.Name, code, &out, &talk)
			}
			continue
		}
		_, next, ok := strings.Cut(out.String(), "\nGo on with:\n  ")
		if code != 0 || !ok {
			t.Errorf("%s: code %d: %s%s", s.Name, code, &out, &talk)
			continue
		}
		line, _, _ := strings.Cut(next, "\n")
		words := shellWords(t, line)
		var answer, said bytes.Buffer
		if code := run(t.Context(), append(words[1:], "--json"), nil, &answer, &said); code != 0 {
			t.Errorf("%s: %s: code %d: %s", s.Name, line, code, &said)
		}
		var rows struct{ Items []map[string]any }
		d := json.NewDecoder(&answer)
		d.UseNumber()
		if err := d.Decode(&rows); err != nil || len(rows.Items) == 0 {
			t.Errorf("%s: %s: %v, %v", s.Name, line, rows, err)
			continue
		}
		property := words[slices.Index(words, "--property")+1]
		if got := fmt.Sprintf("%s=%v", property, rows.Items[0][property]); !slices.Contains(strings.Fields(s.Latest), got) {
			t.Errorf("%s: %s: %s, want %s", s.Name, line, got, s.Latest)
		}
		pasted(t, &s, table, out.String())
	}
}

// pasted checks that a project takes what is printed for its folder.
func pasted(t *testing.T, s *laidout.Shape, table, out string) {
	t.Helper()
	_, object, _ := strings.Cut(out, "\n  {")
	object, _, _ = strings.Cut("{"+object, "\n")
	dir := t.TempDir()
	for name, text := range map[string]string{"config.json": `{"digital_twin_name":"t","hot_storage_size_in_days":1}`, "config_iot_devices.json": "[]",
		"config_providers.json": `{"layer_3_hot_provider":"aws","layer_4_provider":"azure"}`, "config_hot_reader.json": object} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := config.LoadProject(dir)
	if err != nil {
		t.Errorf("%s: %s: %v", s.Name, object, err)
		return
	}
	o := p.Options
	if want := s.Layout.WithDefaults(); o.AWS.Table != table || fmt.Sprint(o.Layout.WithDefaults()) != fmt.Sprint(want) {
		t.Errorf("%s: %s is read as table %s, %+v; want %+v", s.Name, object, o.AWS.Table, o.Layout, want)
	}
}
