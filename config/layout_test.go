package config

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"hotreader/layout"
)

// A layout that DynamoDB cannot have, that a table that is made cannot have, or that
// Lambda has no room for.
func TestLayoutsOnAWS(t *testing.T) {
	long := `{"layout":{"properties":{"` + strings.Repeat("p", 200) + `":"` + strings.Repeat("q", 250) + `","b":"` + strings.Repeat("q", 250) + `","c":"` + strings.Repeat("q", 250) + `","d":"` + strings.Repeat("q", 250) + `"}}}`
	for text, want := range map[string]string{
		`{"layout":{"index":"by-time"}}`:                           "config_hot_reader.json: aws.table: is missing while the layout's index",
		`{"layout":{"name_key":"n","value_key":"v"}}`:              "config_hot_reader.json: aws.table: is missing while the layout's name_key",
		`{"layout":{"time_suffix":"#{property}","value_key":"v"}}`: "",
		`{"layout":{"index":"by-time","name_key":"n","value_key":"v"},"aws":{"table":"arn:aws:dynamodb:eu-central-1:123456789012:table/rows"}}`: "",
		`{"layout":{"time_format":["iso8601","epoch_s"]}}`: "config_hot_reader.json: layout: time_format lists",
		`{"time_format":"native"}`:                         "config_hot_reader.json: time_format: time_format is native",
		long:                                               "config_hot_reader.json: layout: has 1",
	} {
		files := goodProject()
		files["config_providers.json"] = `{"layer_3_hot_provider":"aws","layer_4_provider":"aws"}`
		files["config_hot_reader.json"] = text
		p, err := LoadProject(folder(t, files))
		if want != "" {
			same(t, lines(t, err), []string{want})
		} else if err != nil || p.Options.Layout.ValueKey != "v" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What the functions get of a layout is read as that layout. What the older variables
// can say, they do: a program of an earlier version reads it.
func TestVariablesOfALayout(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`{}`: {},
		`{"device_key":"dev","time_key":"ts","time_format":"epoch_ms"}`: {"HOTREADER_DEVICE_KEY": "dev", "HOTREADER_TIME_KEY": "ts", "HOTREADER_TIME_FORMAT": "epoch_ms"},
		`{"time_key":"ts","properties":"payload"}`:                      {"HOTREADER_LAYOUT": `{"time_key":"ts","properties":"payload"}`},
		`{"time_format":["iso8601","epoch_s:text"]}`:                    {"HOTREADER_LAYOUT": `{"time_format":["iso8601","epoch_s:text"]}`},
		`{"index":"i","properties":{"t":"a.b"}}`:                        {"HOTREADER_LAYOUT": `{"properties":{"t":"a.b"},"index":"i"}`},
	} {
		l, err := layout.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		env := Settings{Layout: l}.Variables(Stores)
		if !maps.Equal(env, want) {
			t.Errorf("%s is handed on as %q, want %q", text, env, want)
		}
		all := local()
		maps.Copy(all, env)
		if f, err := load(all); err != nil || !reflect.DeepEqual(f.Layout, l) {
			t.Errorf("%s is read as %+v (%v)", text, f, err)
		}
		if env := (Settings{Layout: l}).Variables(Served); len(env) > 0 {
			t.Errorf("%s is handed on to a function without a store: %q", text, env)
		}
	}
}
