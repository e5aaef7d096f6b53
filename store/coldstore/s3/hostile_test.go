package s3_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/buckettest"
	"hotreader/store/coldstore/s3"
)

// What is not S3, or lies, is an error and never an empty list; what it says is not repeated
// at length.
func TestHostileServer(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	list := func(objects string) string {
		return `<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>` + objects + `</ListBucketResult>`
	}
	for name, c := range map[string]struct {
		status  int
		body    string
		headers []string
		code    hotreader.Code
		says    string
	}{
		"a web page":      {status: 200, body: "<html><body>Welcome</body></html>", code: hotreader.CodeCorrupt, says: "is no list of a bucket"},
		"nothing":         {status: 200, code: hotreader.CodeCorrupt, says: "is no list of a bucket"},
		"JSON":            {status: 200, body: `{"a":1}`, code: hotreader.CodeCorrupt, says: "is no list of a bucket"},
		"half a list":     {status: 200, body: strings.TrimSuffix(list(""), "</ListBucketResult>"), code: hotreader.CodeProtocol, says: "not from S3"},
		"entities":        {status: 200, body: `<!DOCTYPE l [<!ENTITY a "aa">]>` + list(`<Contents><Key>&a;</Key></Contents>`), code: hotreader.CodeProtocol, says: "not from S3"},
		"no size":         {status: 200, body: list(`<Contents><Key>a</Key></Contents>`), code: hotreader.CodeProtocol, says: "has -1 bytes"},
		"a negative size": {status: 200, body: list(`<Contents><Key>a</Key><Size>-5</Size></Contents>`), code: hotreader.CodeProtocol, says: "has -5 bytes"},
		"a redirect":      {status: 302, headers: []string{"Location", "http://169.254.169.254/"}, code: hotreader.CodeProtocol, says: "which is not followed"},
		"a long message":  {status: 400, body: "<Error><Code>Odd</Code><Message>" + strings.Repeat("m", 100_000) + "</Message></Error>", code: hotreader.CodeStore, says: "mmm…"},
	} {
		b, err := s3.NewFunction(s3.Options{Bucket: "b", Region: "eu-central-1", Endpoint: buckettest.Refusing(t, c.status, c.body, c.headers...)})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err = range coldstore.List(t.Context(), b, "", "") {
			n++
		}
		if text := fmt.Sprint(err); n != 1 || hotreader.CodeOf(err) != c.code || !strings.Contains(text, c.says) || len(text) > 1500 || strings.Contains(text, "secret") {
			t.Errorf("%s: %d pages, %v: %.2000s", name, n, hotreader.CodeOf(err), text)
		}
	}
}

// Keys come as they are, those too that XML cannot write: they are asked for in URL's form.
func TestKeys(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for text, want := range map[string]string{
		"<EncodingType>url</EncodingType><Contents><Key>a%01/b+%2B%25</Key><Size>1</Size></Contents>": "a\x01/b +%",
		"<Contents><Key>a+%2B</Key><Size>1</Size></Contents>":                                         "a+%2B", // of a server that knows no forms
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("encoding-type") == "url" {
				_, _ = io.WriteString(w, `<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>`+text+`</ListBucketResult>`)
			}
		}))
		defer s.Close()
		b, err := s3.NewFunction(s3.Options{Bucket: "b", Region: "eu-central-1", Endpoint: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		for page, err := range coldstore.List(t.Context(), b, "", "") {
			if err != nil || len(page.Objects) != 1 || page.Objects[0].Key != want {
				t.Errorf("%s: %+v, %v", text, page, err)
			}
		}
	}
}

// A range that is ignored, or another version, is noticed before a byte of it is used.
func TestHostileParts(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	o := &coldstore.Object{Key: "a.json", Size: 10, Version: `"1"`}
	for _, c := range []struct {
		at      int64
		status  int
		headers []string
		code    hotreader.Code
	}{
		{4, http.StatusPartialContent, []string{"Content-Range", "bytes 4-9/10", "ETag", `"1"`}, ""},
		{0, http.StatusOK, nil, ""},
		{4, http.StatusOK, nil, hotreader.CodeProtocol},
		{4, http.StatusPartialContent, []string{"Content-Range", "bytes 0-9/10"}, hotreader.CodeProtocol},
		{4, http.StatusPartialContent, []string{"Content-Range", "bytes 4-9/10", "ETag", `"2"`}, hotreader.CodeUnavailable},
	} {
		b, err := s3.NewFunction(s3.Options{Bucket: "b", Region: "eu-central-1", Endpoint: buckettest.Refusing(t, c.status, "0123456789", c.headers...)})
		if err != nil {
			t.Fatal(err)
		}
		body, err := b.Read(t.Context(), o, c.at, 6)
		if hotreader.CodeOf(err) != c.code {
			t.Errorf("%+v: %v", c, err)
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, body)
			_ = body.Close()
		}
	}
}
