package all_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/all"
)

func TestOpenCold(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.jsonl"), []byte(`{"dev":"d","ts":1704067200,"v":7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := all.OpenCold(t.Context(), "file:"+dir+"?device_key=dev&time_key=ts&time_format=epoch_s&format=jsonl&late=0s")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for r, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
		if n++; err != nil || r.Values[0].String() != "7" {
			t.Errorf("%v, %v", r, err)
		}
	}
	if n != 1 {
		t.Errorf("%d rows", n)
	}
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AZURE_STORAGE_KEY", "a2V5")
	for url, says := range map[string]string{
		"s3://b/history":                           "",
		"s3://b?region=eu-west-1":                  "",
		"azblob://account/container/a/b":           "",
		"gs://b/p?endpoint=http://127.0.0.1:1":     "",
		"s3:":                                      "write it as s3://",
		"azblob://account":                         "write it as s3://",
		"bolt:x":                                   "write it as s3://",
		"file:" + dir + "/none":                    "no such file",
		"file:" + dir + "?format=csv":              "format \"csv\" is unknown",
		"file:" + dir + "?late=soon":               "late is \"soon\"",
		"file:" + dir + "?region=x":                "region",
		"file:" + dir + "?index=x":                 "index",
		"s3://b?endpoint=http://elsewhere.example": "http",
	} {
		_, err := all.OpenCold(t.Context(), url)
		if (err == nil) != (says == "") || err != nil && (!errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", url, err, says)
		}
	}
}
