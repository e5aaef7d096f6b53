package faults

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"testing"

	"hotreader"
	"hotreader/store/awsdynamodb"
)

// dynamo answers as DynamoDB does, in two pages.
func dynamo(w http.ResponseWriter, r *http.Request) {
	request, _ := io.ReadAll(r.Body)
	var b bytes.Buffer
	from, to := 0, count/2
	if bytes.Contains(request, []byte("ExclusiveStartKey")) {
		from, to = to, count
	}
	fmt.Fprintf(&b, `{"Count":%d,"ScannedCount":%d,"Items":[`, to-from, to-from)
	for i := from; i < to; i++ {
		if i > from {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"device_id":{"S":%q},"timestamp":{"S":%q},"level":{"N":"%d.5"}}`, device, instant(i), i)
	}
	b.WriteByte(']')
	if to < count {
		fmt.Fprintf(&b, `,"LastEvaluatedKey":{"device_id":{"S":%q},"timestamp":{"S":%q}}`, device, instant(to-1))
	}
	b.WriteByte('}')
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(b.Bytes())), 10))
	_, _ = w.Write(b.Bytes())
}

func instant(i int) string { return fmt.Sprintf("2026-03-01T12:%02d:%02dZ", i/60, i%60) }

// The way to hot storage on a function's own cloud: DynamoDB's real client over
// real sockets. A fault of the first page or of the second is tried again, three
// times in all; if it stays, there is an error.
func TestLocalFaults(t *testing.T) {
	for name, value := range map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": ""} {
		t.Setenv(name, value)
	}
	refusal := func(code int, kind string) fault {
		text := `{"__type":"com.amazonaws.dynamodb.v20120810#` + kind + `","message":"m"}`
		return says(fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s", code, len(text), text))
	}
	for _, c := range []struct {
		name  string
		fault fault
		code  hotreader.Code
		final bool
	}{
		{"hung up before the head", breaks(start, hangUp), hotreader.CodeUnavailable, false},
		{"reset before the head", breaks(start, reset), hotreader.CodeUnavailable, false},
		{"reset within the head", breaks(withinHead, reset), hotreader.CodeUnavailable, false},
		{"reset behind the head", breaks(behindHead, reset), hotreader.CodeUnavailable, false},
		{"reset in the middle", breaks(middle, reset), hotreader.CodeUnavailable, false},
		{"hung up before the last byte", breaks(lastByte, hangUp), hotreader.CodeUnavailable, false},
		{"cut in chunks", cuts(chunked, 5000, hangUp), hotreader.CodeUnavailable, false},
		{"500", refusal(500, "InternalServerError"), hotreader.CodeStore, false},
		{"503", status(503), hotreader.CodeUnavailable, false},
		{"throttled", refusal(400, "ProvisionedThroughputExceededException"), hotreader.CodeThrottled, false},
		{"not allowed", refusal(400, "AccessDeniedException"), hotreader.CodeForbidden, true},
		{"no such table", refusal(400, "ResourceNotFoundException"), hotreader.CodeNotFound, true},
	} {
		for _, page := range []int{1, 2} {
			for _, stays := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, page %d, stays: %v", c.name, page, stays), func(t *testing.T) {
					g := newGate(t, http.HandlerFunc(dynamo), nil, func(request int) fault {
						if request == page || stays && request > page {
							return c.fault
						}
						return nil
					})
					client, err := awsdynamodb.NewFunctionClient(awsdynamodb.ClientOptions{Endpoint: g.url})
					if err != nil {
						t.Fatal(err)
					}
					got, err := collect(limited(t), t, awsdynamodb.New(client, awsdynamodb.Options{Table: "t"}), hotreader.Query{Device: device, Properties: []string{"level"}})
					for i, row := range got {
						if text := row.Values[0].String(); text != fmt.Sprintf("%d.5", i) {
							t.Fatalf("row %d is %s", i, text)
						}
					}
					asked := int(g.requests.Load())
					switch {
					case c.final && (hotreader.CodeOf(err) != c.code || asked != page):
						t.Errorf("%v after %d requests", err, asked)
					case !c.final && stays && (hotreader.CodeOf(err) != c.code || len(got) > count/2 || asked > page+3):
						t.Errorf("%d rows, %v after %d requests", len(got), err, asked)
					case !c.final && !stays && (err != nil || len(got) != count || asked != 3):
						t.Errorf("%d rows, %v after %d requests", len(got), err, asked)
					}
				})
			}
		}
	}
	// A wrong bit is found, or at least no other number for it.
	for at := 0; at < 8000; at += 271 {
		g := newGate(t, http.HandlerFunc(dynamo), nil, first(1, flips(framings[at%3], at, at%8)))
		client, err := awsdynamodb.NewFunctionClient(awsdynamodb.ClientOptions{Endpoint: g.url})
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(limited(t), t, awsdynamodb.New(client, awsdynamodb.Options{Table: "t"}), hotreader.Query{Device: device, Properties: []string{"level"}})
		if err == nil && len(got) != count {
			t.Errorf("byte %d: %d rows, and no error", at, len(got))
		}
		for i, row := range got {
			if text := row.Values[0].String(); text != fmt.Sprintf("%d.5", i) {
				t.Errorf("byte %d: row %d is %s", at, i, text)
			}
		}
	}
}
