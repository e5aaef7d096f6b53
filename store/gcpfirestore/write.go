package gcpfirestore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/batch"
	"hotreader/store/internal/timekey"
)

// Firestore's bounds, from "Quotas and limits" in its documentation.
const (
	maxBatch         = 500     // writes of a commit
	maxCommitBytes   = 8 << 20 // of 10 MiB, so that the rest of a request has room
	maxDocumentBytes = 1 << 20 // as Firestore counts, which is less than protobuf
)

// parallelCommits is how many commits of one Write run at a time.
const parallelCommits = 4

// unansweredTries is how often a commit is tried that nobody answers. One that
// Firestore itself puts off is tried until ctx ends.
const unansweredTries = 6

// Write stores records, 500 documents a commit, a few commits at a time. What
// Firestore does not take for the moment (RESOURCE_EXHAUSTED, UNAVAILABLE,
// ABORTED) is sent again until ctx ends.
//
// A document's id is "{device}_{time}", of narrow ones followed by the property, where
// % and / are written %25 and %2F; one that would have more than 1500 bytes ends in a
// hash instead. Each also has it, unescaped, in the field id, unless the record has a
// property there. Of two time formats the second is written.
//
// Firestore keeps whole numbers of 64 bits and double precision. A number that
// would come out as another is kept as text, its digits as they are; it is a
// number again where a query declares its type. A time that is finer than the
// field keeps is refused: microseconds for a timestamp, and what no integer and no
// double is for a number.
func (s *Store) Write(ctx context.Context, device string, records []hotreader.Record) error {
	if err := s.check(); err != nil {
		return err
	}
	commits, err := s.commits(device, records)
	if err != nil {
		return s.invalid(writing, err)
	}
	if err := batch.Send(ctx, commits, parallelCommits, s.commit); err != nil {
		return s.fail(ctx, writing, err)
	}
	return nil
}

func (s *Store) commit(ctx context.Context, request []byte) error {
	unanswered := 0
	for tries := 1; ; tries++ {
		err := s.tryCommit(ctx, request)
		if err == nil || ctx.Err() != nil || !again(err) {
			return err
		}
		st, said := errors.AsType[*status](err)
		if !said || !slices.Contains([]string{"RESOURCE_EXHAUSTED", "UNAVAILABLE", "ABORTED"}, st.code) {
			if unanswered++; unanswered >= unansweredTries {
				return err
			}
		}
		// A writer sends a few commits at a time whatever comes of them, and needs
		// no budget.
		if err := s.pause(ctx, tries, err, nil); err != nil {
			return err
		}
	}
}

// tryCommit sends a commit once. Its answer is of no interest beside its status.
func (s *Store) tryCommit(ctx context.Context, request []byte) error {
	answer, err := s.client.call(ctx, &call{method: commit, database: s.databasePath, routing: "database=" + url.QueryEscape(s.databasePath), request: request}, nil)
	if err != nil {
		return err
	}
	defer answer.close()
	return answer.each(ctx, func() {}, func([]byte) error { return nil })
}

// commits checks records and makes them requests, each document once.
func (s *Store) commits(device string, records []hotreader.Record) ([][]byte, error) {
	writes, err := batch.Make(device, records, func(r *hotreader.Record) (string, [][]byte, error) { return s.writes(device, r) })
	if err == nil {
		err = s.checkDevice(device)
	}
	var commits [][]byte
	for _, group := range batch.Group(slices.Concat(writes...), maxBatch, maxCommitBytes) {
		commits = append(commits, slices.Concat(text(make([]byte, headerBytes), 1, s.databasePath), bytes.Join(group, nil)))
	}
	return commits, err
}

// writes makes a record Writes, one unless documents are narrow, and returns them with
// what tells its instant from others.
func (s *Store) writes(device string, r *hotreader.Record) (instant string, writes [][]byte, err error) {
	c := &s.codecs[len(s.codecs)-1]
	if r.Time.Before(c.First()) || r.Time.After(c.Last()) {
		return "", nil, fmt.Errorf("it has no time within the years %d to %d", c.First().Year(), c.Last().Year())
	}
	parts := [][]hotreader.Field{r.Fields}
	if s.Layout.Narrow() {
		parts = nil
		for i := range r.Fields {
			if !r.Fields[i].Value.IsNull() {
				parts = append(parts, r.Fields[i:i+1])
			}
		}
	}
	for _, part := range parts {
		w, err := s.write(device, c, r.Time, part)
		if err != nil {
			return "", nil, err
		}
		writes = append(writes, w)
	}
	return r.Time.UTC().Format(time.RFC3339Nano), writes, nil
}

// write makes fields a Write of a document.
func (s *Store) write(device string, c *timekey.Codec, at time.Time, fields []hotreader.Field) ([]byte, error) {
	l, t := &s.Layout, tree{}
	own, property := device+"_", ""
	if l.Narrow() {
		property = fields[0].Name
	}
	key := string(c.Append(nil, at, property))
	when, err := timeValue(c, at, key)
	if err != nil {
		return nil, err
	}
	if own += key; l.NameKey != "" {
		own += "_" + property
		t.put(layout.ParsePath(l.NameKey), text(nil, valueString, property))
	}
	parent, collection := s.place(device)
	partition := s.template.Value(device, at.In(c.Zone()))
	t.put(layout.ParsePath(l.TimeKey), when)
	t.put(layout.ParsePath(l.DeviceKey), text(nil, valueString, partition))
	size := len(parent) + len(collection) + len(own) + 2*(len(l.DeviceKey)+len(l.TimeKey)+len(partition)+len(key)) + 64
	for i := range fields {
		if err := s.put(t, &fields[i]); err != nil {
			return nil, err
		}
		size += len(fields[i].Name) + len(fields[i].Value.Text()) + 9
	}
	if size > maxDocumentBytes {
		return nil, fmt.Errorf("it has about %d bytes, a document of Firestore at most %d", size, maxDocumentBytes)
	}
	t.put([]string{"id"}, text(nil, valueString, own)) // unless a property is there
	return appendWrite(nil, []byte(parent+"/"+collection+"/"+escapeID(own)), t.append(nil, 2)), nil
}

// put puts a property where the layout has it.
func (s *Store) put(t tree, f *hotreader.Field) error {
	path := layout.ParsePath(s.Layout.ValueKey)
	if !s.Layout.Narrow() {
		if err := s.Layout.CheckName(f.Name); err != nil {
			return err
		}
		path = s.Layout.Paths(f.Name)[0]
	}
	if slices.ContainsFunc(path, reserved) {
		return fmt.Errorf("the property %q begins and ends with two underscores, which Firestore keeps for itself", f.Name)
	}
	var n number
	switch f.Value.Kind() {
	case hotreader.Null:
		return nil
	case hotreader.Number:
		n = toNumber(f.Value.Text())
	}
	if !t.put(path, appendValue(nil, f.Value, n)) {
		return fmt.Errorf("the property %q would stand where something else does, at %s", f.Name, strings.Join(path, "."))
	}
	return nil
}

// timeValue makes the Value of a time, whose text or digits are key.
func timeValue(c *timekey.Codec, at time.Time, key string) ([]byte, error) {
	switch c.Kind {
	case layout.TextTime:
		return text(nil, valueString, key), nil
	case layout.NativeTime:
		if at.Nanosecond()%int(c.Finest()) == 0 {
			return appendTimestamp(nil, at), nil
		}
	case layout.NumberTime:
		if n := toNumber([]byte(key)); n.kind != valueString {
			return appendValue(nil, hotreader.NumberValue([]byte(key)), n), nil
		}
	}
	return nil, fmt.Errorf("its time %s is finer than %s keeps", at.UTC().Format(time.RFC3339Nano), c.Name)
}

// escapeID makes text the id of a document, which must not hold a slash. No two
// texts have the same id.
func escapeID(text string) string {
	id := strings.NewReplacer("%", "%25", "/", "%2F").Replace(text)
	if len(id) <= maxID {
		return id
	}
	hash := sha256.Sum256([]byte(text))
	tail := "%~" + hex.EncodeToString(hash[:]) // no escape looks like that
	id = id[:maxID-len(tail)]
	for !utf8.ValidString(id) { // a character was cut
		id = id[:len(id)-1]
	}
	return id + tail
}

// number is how Firestore keeps a number: as integer, as double, or else as text.
type number struct {
	kind    int // valueInteger, valueDouble or valueString
	integer int64
	double  float64
}

// toNumber finds the way in which digits come out as they are, compared as
// decimals.
func toNumber(digits []byte) number {
	if i, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
		return number{kind: valueInteger, integer: i}
	}
	f, err := strconv.ParseFloat(string(digits), 64)
	if err == nil && hotreader.CompareNumbers(appendDigits(nil, f), digits) == 0 {
		return number{kind: valueDouble, double: f}
	}
	// Whole numbers that are not spelled so, as 9007199254740993.0.
	if v, _, ok := hotreader.Long.Convert(hotreader.NumberValue(digits), nil); ok {
		if i, err := strconv.ParseInt(string(v.Text()), 10, 64); err == nil {
			return number{kind: valueInteger, integer: i}
		}
	}
	return number{kind: valueString}
}
