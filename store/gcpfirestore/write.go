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
	"hotreader/store/internal/failure"
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

// unansweredTries is how often a commit without an answer is tried. One that
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
// field keeps is rejected: microseconds for a timestamp, and what no integer and no
// double is for a number.
func (s *Store) Write(ctx context.Context, device string, records []hotreader.Record) error {
	return s.write(ctx, device, records, replacing)
}

func (s *Store) write(ctx context.Context, device string, records []hotreader.Record, made write) error {
	if err := s.check(); err != nil {
		return err
	}
	commits, err := s.commits(device, records, made)
	if err != nil {
		return s.invalid(failure.Writing, err)
	}
	if err := batch.Send(ctx, commits, parallelCommits, s.commit); err != nil {
		return s.fail(ctx, failure.Writing, err)
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

// commits checks records and makes them requests, each document once. made makes a
// document's name and fields a Write.
func (s *Store) commits(device string, records []hotreader.Record, made write) ([][]byte, error) {
	writes, err := batch.Make(device, records, func(r *hotreader.Record, add func(string, []byte)) error { return s.writes(device, r, made, add) })
	if err == nil {
		err = s.checkDevice(device)
	}
	var commits [][]byte
	for _, group := range batch.Group(writes, maxBatch, maxCommitBytes) {
		commits = append(commits, slices.Concat(text(make([]byte, headerBytes), 1, s.databasePath), bytes.Join(group, nil)))
	}
	return commits, err
}

// writes makes a record a Write or, where a document holds one property, a Write for
// each.
func (s *Store) writes(device string, r *hotreader.Record, made write, add func(id string, write []byte)) error {
	c := &s.codecs[len(s.codecs)-1]
	for name, fields := range batch.Parts(r.Fields, s.Layout.Narrow()) {
		key := string(c.Append(nil, r.Time, name))
		when, err := timeValue(c, r.Time, key)
		if err != nil {
			return err
		}
		t, id := tree{}, device+"_"+key
		t.put(layout.ParsePath(s.Layout.TimeKey), when)
		t.put(layout.ParsePath(s.Layout.DeviceKey), text(nil, valueString, s.PartitionOf(device, r.Time)))
		if s.Layout.NameKey != "" {
			id += "_" + name
			t.put(layout.ParsePath(s.Layout.NameKey), text(nil, valueString, name))
		}
		document, err := s.document(device, id, t, fields)
		if err != nil {
			return err
		}
		add(id, made(document, t))
	}
	return nil
}

// document puts fields into a document, which has its keys, and returns its name.
func (s *Store) document(device, id string, t tree, fields []hotreader.Field) ([]byte, error) {
	parent, collection := s.place(device)
	size := len(parent) + len(collection) + len(t.append(nil, 2)) + 2*len(id) + 64
	for i := range fields {
		if err := s.put(t, &fields[i]); err != nil {
			return nil, err
		}
		size += len(fields[i].Name) + len(fields[i].Value.Text()) + 9
	}
	if size > maxDocumentBytes {
		return nil, fmt.Errorf("it has about %d bytes, a document of Firestore at most %d", size, maxDocumentBytes)
	}
	t.put([]string{"id"}, text(nil, valueString, id)) // unless a property is there
	return []byte(parent + "/" + collection + "/" + escapeID(id)), nil
}

// A write makes a document's name and fields a Write.
type write func(name []byte, t tree) []byte

// replacing writes the whole document.
func replacing(name []byte, t tree) []byte { return appendWrite(nil, name, t.append(nil, 2), nil) }

// put puts a property where the layout has it.
func (s *Store) put(t tree, f *hotreader.Field) error {
	var n number
	switch f.Value.Kind() {
	case hotreader.Null:
		return nil
	case hotreader.Number:
		n = toNumber(f.Value.Text())
	}
	path := s.Layout.WritePath(f.Name)
	if slices.ContainsFunc(path, reserved) {
		return fmt.Errorf("the property %q begins and ends with two underscores, which Firestore keeps for itself", f.Name)
	}
	if !t.put(path, appendValue(nil, f.Value, n)) {
		return fmt.Errorf("the property %q is named like a key of the collection, or would lie within another property", f.Name)
	}
	return nil
}

// timeValue makes the Value of a time, whose text or digits are key.
func timeValue(c *timekey.Codec, at time.Time, key string) ([]byte, error) {
	if err := c.Writable(at); err != nil {
		return nil, err
	}
	switch c.Kind {
	case layout.NativeTime:
		return timestampValue(at), nil
	case layout.NumberTime:
		n := toNumber([]byte(key))
		if n.kind == valueString {
			return nil, fmt.Errorf("its time %s is finer than a number of %s keeps", at.UTC().Format(time.RFC3339Nano), c.Name)
		}
		return appendValue(nil, hotreader.NumberValue([]byte(key)), n), nil
	}
	return text(nil, valueString, key), nil
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

// toNumber finds the type in which digits come out as they are, compared as
// decimals.
func toNumber(digits []byte) number {
	if i, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
		return number{kind: valueInteger, integer: i}
	}
	f, err := strconv.ParseFloat(string(digits), 64)
	if err == nil && hotreader.CompareNumbers(hotreader.AppendFloat(nil, f), digits) == 0 {
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

var _ hotreader.Merger = (*Store)(nil)

// Merge stores records as Write does, but a document that is there keeps the fields
// that a record lacks.
func (s *Store) Merge(ctx context.Context, device string, records []hotreader.Record) error {
	return s.write(ctx, device, records, merging)
}

// merging writes the fields that t has, and leaves others as they are.
func merging(name []byte, t tree) []byte {
	return appendWrite(nil, name, t.append(nil, 2), t.paths(nil, ""))
}

// paths appends a DocumentMask of all fields.
func (t tree) paths(mask []byte, prefix string) []byte {
	for name, v := range t {
		path := prefix + quoted(name)
		if below, ok := v.(tree); ok {
			mask = below.paths(mask, path+".")
		} else {
			mask = text(mask, 1, path)
		}
	}
	return mask
}
