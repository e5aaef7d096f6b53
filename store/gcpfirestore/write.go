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
	"hotreader/store/internal/batch"
	"hotreader/store/internal/timekey"
)

// Firestore's bounds, from "Quotas and limits" in its documentation.
const (
	maxBatch         = 500       // writes of a commit
	maxCommitBytes   = 8 << 20   // of 10 MiB, so that the rest of a request has room
	maxDocumentBytes = 1 << 20   // as Firestore counts, which is less than protobuf
	nativeTick       = 1000      // nanoseconds: Firestore cuts off what is finer
	milli            = 1_000_000 // nanoseconds
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
// A document's id is "{device}_{time}", where % and / are written %25 and %2F;
// one that would have more than 1500 bytes ends in a hash instead. Each also has
// it, unescaped, in the field id, unless the record has a property of that name.
//
// Firestore keeps whole numbers of 64 bits and double precision. A number that
// would come out as another is kept as text, its digits as they are; it is a
// number again where a query declares its type. A time that is finer than the
// field keeps is refused: microseconds for Native, milliseconds or seconds for
// numbers.
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
	writes, err := batch.Make(device, records, func(r *hotreader.Record) (string, []byte, error) { return s.write(device, r) })
	if err == nil {
		err = checkDevice(device)
	}
	var commits [][]byte
	for _, group := range batch.Group(writes, maxBatch, maxCommitBytes) {
		commits = append(commits, slices.Concat(text(make([]byte, headerBytes), 1, s.databasePath), bytes.Join(group, nil)))
	}
	return commits, err
}

// write makes a record a Write and returns it with its document's id.
func (s *Store) write(device string, r *hotreader.Record) (id string, write []byte, err error) {
	if r.Time.Before(firstTime(s.format)) {
		return "", nil, fmt.Errorf("it has no time within the years %d to 9999", firstTime(s.format).Year())
	}
	tick := map[string]int{Native: nativeTick, EpochMillis: milli, EpochSecs: 1000 * milli}[s.format]
	if tick > 0 && r.Time.Nanosecond()%tick != 0 {
		return "", nil, fmt.Errorf("its time %s is finer than %s keeps, which is %v", r.Time.UTC().Format(time.RFC3339Nano), s.format, time.Duration(tick))
	}
	key := string(s.appendKey(nil, r.Time))
	own := device + "_" + key
	fields, hasID := make([]byte, 0, 64*(len(r.Fields)+3)), false
	size := len(s.parent) + len(s.collectionID) + len(own) + 2*(len(s.deviceKey)+len(s.timeKey)+len(device)+len(key)) + 64
	for _, f := range r.Fields {
		switch {
		case f.Name == s.deviceKey || f.Name == s.timeKey:
			return "", nil, fmt.Errorf("the property %q is named like a key of the collection", f.Name)
		case reserved(f.Name):
			return "", nil, fmt.Errorf("the property %q begins and ends with two underscores, which Firestore keeps for itself", f.Name)
		}
		hasID = hasID || f.Name == "id" && !f.Value.IsNull()
		size += len(f.Name) + len(f.Value.Text()) + 9
		var n number
		switch f.Value.Kind() {
		case hotreader.Null:
			continue
		case hotreader.Number:
			n = toNumber(f.Value.Text())
		}
		fields = appendField(fields, f.Name, func(b []byte) []byte { return appendValue(b, f.Value, n) })
	}
	if size > maxDocumentBytes {
		return "", nil, fmt.Errorf("it has about %d bytes, a document of Firestore at most %d", size, maxDocumentBytes)
	}
	if !hasID {
		fields = appendField(fields, "id", func(b []byte) []byte { return text(b, valueString, own) })
	}
	fields = appendField(fields, s.deviceKey, func(b []byte) []byte { return text(b, valueString, device) })
	fields = appendField(fields, s.timeKey, func(b []byte) []byte {
		switch s.format {
		case ISO8601:
			return text(b, valueString, key)
		case EpochMillis:
			return varint(b, valueInteger, uint64(r.Time.Unix()*1000+int64(r.Time.Nanosecond()/milli)))
		case EpochSecs:
			return varint(b, valueInteger, uint64(r.Time.Unix()))
		}
		return appendTimestamp(b, r.Time)
	})
	id = escapeID(own)
	name := s.parent + "/" + s.collectionID + "/" + id
	return id, appendWrite(nil, []byte(name), fields), nil
}

// appendKey appends a row's time as it stands in the document's id.
func (s *Store) appendKey(b []byte, t time.Time) []byte {
	if s.format == Native {
		return timekey.Append(b, ISO8601, t)
	}
	return timekey.Append(b, s.format, t)
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
