package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"hotreader"
	"hotreader/codec/twinmaker"
)

// twinmaker writes what TwinMaker would be answered, one page a line, and
// returns how many pages have values. Entity and component are named as the
// device.
func (k *asking) twinmaker(ctx context.Context, reader hotreader.Reader, q hotreader.Query) (int, error) {
	w := bufio.NewWriterSize(k.app.stdout, 1<<16)
	answers := twinmaker.Responder{Reader: reader}
	req := twinmaker.Request{Query: q, Ref: twinmaker.Reference{EntityID: q.Device, ComponentName: q.Device}}
	if q.Limit > 0 { // one page of that many rows
		if q.Limit > twinmaker.MaxResults/len(q.Properties) {
			return 0, usagef("query: --limit %d is more than a page can hold", q.Limit)
		}
		req.MaxResults = q.Limit * len(q.Properties)
		answers.MaxBytes = 1 << 30
		req.Query.Limit = 0
	}
	var page []byte
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
		empty, next, err := pageEnd(page)
		if err != nil {
			return pages, err
		}
		if !empty {
			pages++
		}
		if next == "" || q.Limit > 0 {
			return pages, writeEnd(w.Flush())
		}
		req.NextToken = next
	}
}

// pageEnd returns whether a page of our own making is without values, and its
// nextToken.
func pageEnd(page []byte) (empty bool, next string, err error) {
	var doc struct {
		PropertyValues json.RawMessage `json:"propertyValues"`
		NextToken      string          `json:"nextToken"`
	}
	if err := json.Unmarshal(page, &doc); err != nil {
		return false, "", &hotreader.Error{Op: "twinmaker page", Code: hotreader.CodeInternal, Err: fmt.Errorf("is not JSON: %w", err)}
	}
	var series []struct {
		Values []json.RawMessage `json:"values"`
	}
	empty = true
	if json.Unmarshal(doc.PropertyValues, &series) == nil {
		for _, s := range series {
			empty = empty && len(s.Values) == 0
		}
		return empty, doc.NextToken, nil
	}
	var last map[string]json.RawMessage
	if err := json.Unmarshal(doc.PropertyValues, &last); err != nil {
		return false, "", &hotreader.Error{Op: "twinmaker page", Code: hotreader.CodeInternal, Err: err}
	}
	return len(last) == 0, "", nil
}
