//go:build engines && linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader/layout"
	"hotreader/store/awsdynamodb"
	"hotreader/store/azurecosmos"
	"hotreader/test/engine"
	"hotreader/test/serving"
)

// worked is an example of docs/layouts.md.
type worked struct {
	title   string
	item    map[string]any // as it lies
	layout  layout.Layout
	command string
	store   *url.URL
}

func workedExamples(t *testing.T) (all []worked) {
	t.Helper()
	text, err := os.ReadFile("../../docs/layouts.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		w := worked{title: section[:strings.IndexByte(section, '\n')]}
		var blocks []string
		for i, part := range strings.Split(section, "```") {
			if i%2 == 1 {
				_, block, _ := strings.Cut(part, "\n")
				blocks = append(blocks, block)
			}
		}
		if len(blocks) != 3 {
			t.Fatalf("%s has %d blocks, want an item, a layout and a command", w.title, len(blocks))
		}
		if err := json.Unmarshal([]byte(blocks[0]), &w.item); err != nil {
			t.Fatalf("%s: %v", w.title, err)
		}
		if w.layout, err = layout.Parse([]byte(blocks[1])); err != nil {
			t.Fatalf("%s: %v", w.title, err)
		}
		w.command = strings.TrimSpace(blocks[2])
		_, quoted, _ := strings.Cut(w.command, "'")
		quoted, _, _ = strings.Cut(quoted, "'")
		if w.store, err = url.Parse(quoted); err != nil {
			t.Fatalf("%s: %v", w.title, err)
		}
		all = append(all, w)
	}
	return all
}

// What docs/layouts.md shows is so: the item is put into the store as it stands there,
// the URL says what the layout says, and the command shows the item's value.
func TestWorkedExamplesOfLayouts(t *testing.T) {
	t.Parallel()
	all := workedExamples(t)
	if len(all) != 6 {
		t.Errorf("there are %d examples", len(all))
	}
	for _, w := range all {
		t.Run(w.title, func(t *testing.T) {
			l, err := layout.FromURL(w.store.Query())
			if w.store.Scheme == "firestore" {
				_, l.Collection, _ = strings.Cut(strings.TrimPrefix(w.store.Path, "/"), "/")
			}
			if err != nil || !reflect.DeepEqual(l, w.layout) {
				t.Errorf("the URL says %+v (%v), the layout %+v", l, err, w.layout)
			}
			var env []string
			command := w.command
			switch w.store.Scheme {
			case "dynamodb":
				env = putDynamoDB(t, w)
			case "cosmos":
				env = putCosmos(t, w)
				command = strings.Replace(command, w.store.Host, strings.TrimPrefix(engine.Cosmos(t), "http://"), 1)
			case "firestore":
				env = engine.FirestoreEnv(t)
				putFirestore(t, w)
			}
			cmd := exec.Command("/bin/sh", "-c", strings.Replace(command, "hotreader", serving.Program(t, "hotreader"), 1))
			cmd.Env = append(os.Environ(), env...)
			var talk bytes.Buffer
			cmd.Stderr = &talk
			out, err := cmd.Output()
			if err != nil || !strings.Contains(string(out), "21.5") || strings.Contains(command, "running") != strings.Contains(string(out), "true") {
				t.Errorf("%s\n%v\n%s%s", command, err, out, &talk)
			}
			inspected(t, w, env)
		})
	}
}

// inspected runs inspect on a worked example's store as if its layout were not known:
// it finds the layout that the example has, and a command that shows the item's value.
func inspected(t *testing.T, w worked, env []string) {
	t.Helper()
	address := strings.Replace(w.store.Scheme+"://"+w.store.Host+w.store.Path, "{device}", "pump-7", 1)
	if w.store.Scheme == "cosmos" {
		address = "cosmos://" + strings.TrimPrefix(engine.Cosmos(t), "http://") + plainContainer(t, w)
	}
	if w.store.Scheme == "dynamodb" {
		address += "?region=" + w.store.Query().Get("region")
	}
	sh := func(command string) (out, talk string) {
		cmd := exec.Command("/bin/sh", "-c", strings.Replace(command, "hotreader", serving.Program(t, "hotreader"), 1))
		cmd.Env = append(os.Environ(), env...)
		var said bytes.Buffer
		cmd.Stderr = &said
		text, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v: %s", command, err, &said)
		}
		return string(text), said.String()
	}
	for _, device := range []string{"", "pump-7"} {
		command := fmt.Sprintf("hotreader inspect --store '%s' --device '%s' --json", address, device)
		out, talk := sh(command)
		var found struct {
			Layout layout.Layout
			Next   string
		}
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			t.Errorf("%s: %v: %s", command, err, talk)
			continue
		}
		if device != "" && !reflect.DeepEqual(found.Layout, w.layout) {
			t.Errorf("%s: found %+v, want %+v", command, found.Layout, w.layout)
		}
		if out, talk := sh(found.Next); !strings.Contains(out, "21.5") {
			t.Errorf("%s: %s%s", found.Next, out, talk)
		}
	}
}

// plainContainer makes a container whose partition key is named without quotes, as the
// emulator compares it, with an example's item. It returns its path.
func plainContainer(t *testing.T, w worked) string {
	t.Helper()
	database, container, _ := strings.Cut(strings.Trim(w.store.Path, "/"), "/")
	container += "-plain"
	path := "/" + strings.Join(layout.ParsePath(w.layout.DeviceKey), "/")
	of := engine.Cosmos(t) + "/dbs/" + database + "/colls"
	send(t, http.MethodPost, of, map[string]any{"id": container, "partitionKey": map[string]any{"paths": []string{path}, "kind": "Hash"}}, "x-ms-version", "2018-12-31")
	device, _ := layout.Item{Fields: w.item}.At(layout.ParsePath(w.layout.DeviceKey))
	send(t, http.MethodPost, of+"/"+container+"/docs", w.item, "x-ms-documentdb-partitionkey", fmt.Sprintf("[%q]", device))
	return "/" + database + "/" + container
}

func putDynamoDB(t *testing.T, w worked) (env []string) {
	t.Helper()
	table, client := w.store.Host, engine.DynamoDBClient(t)
	_, _ = client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table}) // of the example before
	if err := awsdynamodb.CreateTable(t.Context(), client, awsdynamodb.Options{Table: table, Layout: w.layout}); err != nil {
		t.Fatal(err)
	}
	item := map[string]types.AttributeValue{}
	for name, v := range w.item {
		item[name] = attribute(t, v.(map[string]any))
	}
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
		t.Fatal(err)
	}
	return engine.DynamoDBEnv(t)
}

// attribute reads a value of DynamoDB's JSON.
func attribute(t *testing.T, typed map[string]any) types.AttributeValue {
	t.Helper()
	for kind, v := range typed {
		switch kind {
		case "S":
			return &types.AttributeValueMemberS{Value: v.(string)}
		case "N":
			return &types.AttributeValueMemberN{Value: v.(string)}
		case "BOOL":
			return &types.AttributeValueMemberBOOL{Value: v.(bool)}
		case "M":
			m := map[string]types.AttributeValue{}
			for name, v := range v.(map[string]any) {
				m[name] = attribute(t, v.(map[string]any))
			}
			return &types.AttributeValueMemberM{Value: m}
		}
	}
	t.Fatalf("no value: %v", typed)
	return nil
}

func putCosmos(t *testing.T, w worked) (env []string) {
	t.Helper()
	database, container, _ := strings.Cut(strings.Trim(w.store.Path, "/"), "/")
	client, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: engine.Cosmos(t), Key: engine.CosmosKey})
	if err != nil {
		t.Fatal(err)
	}
	if err := azurecosmos.CreateContainer(t.Context(), client, azurecosmos.Options{Database: database, Container: container, Layout: w.layout}); err != nil {
		t.Fatal(err)
	}
	device, ok := layout.Item{Fields: w.item}.At(layout.ParsePath(w.layout.DeviceKey))
	if !ok {
		t.Fatalf("the item has no %s", w.layout.DeviceKey)
	}
	send(t, http.MethodPost, fmt.Sprintf("%s/dbs/%s/colls/%s/docs", engine.Cosmos(t), database, container), w.item,
		"x-ms-documentdb-partitionkey", fmt.Sprintf("[%q]", device))
	return engine.CosmosEnv(t)
}

func putFirestore(t *testing.T, w worked) {
	t.Helper()
	path := strings.Replace(w.store.Path, "{device}", "pump-7", 1)
	database, document, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	send(t, http.MethodPatch, fmt.Sprintf("%s/v1/projects/%s/databases/%s/documents/%s/x", engine.Firestore(t), w.store.Host, database, document),
		map[string]any{"fields": w.item}, "Authorization", "Bearer owner")
}

// send stores a document as another program would, past our clients.
func send(t *testing.T, verb, address string, document map[string]any, header, value string) {
	t.Helper()
	body, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if a := serving.Ask(t, address, verb, "", string(body), "", header, value, "Content-Type", "application/json"); a.Status > 299 {
		t.Fatalf("%d: %s", a.Status, a.Body)
	}
}
