package main

import (
	"bufio"
	"bytes"
	"context"
	"runtime/debug"

	"hotreader"
	"hotreader/codec/twinmaker"
)

// twinmaker writes what TwinMaker would be answered, one page a line, and
// returns how many pages have values. Entity and component are named as the
// device.
func (k *asking) twinmaker(ctx context.Context, reader hotreader.Reader, q hotreader.Query) (int, error) {
	w := bufio.NewWriterSize(k.app.stdout, 1<<16)
	answers := twinmaker.Responder{Reader: reader, Warnings: true}
	req := twinmaker.Request{Query: q, Ref: twinmaker.Reference{EntityID: q.Device, ComponentName: q.Device}}
	if q.Limit > 0 { // one page of that many rows
		if q.Limit > twinmaker.MaxResults/len(q.Properties) {
			return 0, usagef("query: --limit %d is more than a page can hold", q.Limit)
		}
		req.MaxResults = q.Limit * len(q.Properties)
		answers.MaxBytes = 1 << 30
		req.Query.Limit = 0
	}
	if q.Limit == 0 {
		// Pages are megabytes, and come fast: on a busy machine the collector would
		// fall behind by several. What lives is less than half of this.
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(40 << 20))
	}
	page := make([]byte, 0, twinmaker.DefaultMaxBytes) // growing to that would leave as much behind again
	pages := 0
	for {
		var err error
		if q.Last {
			page, err = answers.AppendLastEntry(ctx, page[:0], req)
		} else {
			page, err = answers.AppendHistory(ctx, page[:0], req)
		}
		if err != nil {
			_ = w.Flush()
			return pages, err
		}
		_, _ = w.Write(page) // the writer keeps its error for Flush
		_ = w.WriteByte('\n')
		empty, next := pageEnd(page)
		if !empty {
			pages++
		}
		if next == "" || q.Limit > 0 {
			return pages, w.Flush()
		}
		req.NextToken = next
	}
}

// pageEnd returns whether a page of our own making is without values, and its
// nextToken. A page is megabytes, so it is not decoded: what is looked for
// cannot stand inside a JSON string, where quotes are escaped.
func pageEnd(page []byte) (empty bool, next string) {
	empty = !bytes.Contains(page, []byte(`"values":[{`)) && !bytes.Contains(page, []byte(`"propertyValue":{`))
	mark := []byte(`],"nextToken":"`)
	if i := bytes.LastIndex(page, mark); i >= 0 {
		next = string(bytes.TrimSuffix(page[i+len(mark):], []byte(`"}`)))
	}
	return empty, next
}
