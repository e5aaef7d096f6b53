package gcpfirestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"hotreader"
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
	return s.writeAll(ctx, commits)
}

// writeAll sends commits side by side, for a request is mostly waiting. No two
// of them hold the same document, so their order does not matter.
func (s *Store) writeAll(ctx context.Context, commits [][]byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		workers sync.WaitGroup
		once    sync.Once
		failed  error // the first, for what comes after follows from it
	)
	fail := func(err error) {
		once.Do(func() { failed = err })
		cancel()
	}
	next := make(chan []byte)
	for range min(parallelCommits, len(commits)) {
		workers.Go(func() {
			for request := range next {
				if err := s.commit(ctx, request); err != nil {
					fail(err)
				}
			}
		})
	}
	for _, request := range commits {
		select {
		case next <- request:
		case <-ctx.Done():
			fail(s.fail(ctx, writing, ctx.Err()))
		}
		if ctx.Err() != nil {
			break
		}
	}
	close(next)
	workers.Wait()
	return failed
}

func (s *Store) commit(ctx context.Context, request []byte) error {
	unanswered := 0
	for tries := 1; ; tries++ {
		err := s.client.unary(ctx, commit, s.databasePath, s.routing("database", s.databasePath), request)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || !again(err) {
			return s.fail(ctx, writing, err)
		}
		st, said := errors.AsType[*status](err)
		if !said || st.code != statusResourceExhausted && st.code != statusUnavailable && st.code != statusAborted {
			if unanswered++; unanswered >= unansweredTries {
				return s.fail(ctx, writing, err)
			}
		}
		// A writer sends a few commits at a time whatever comes of them, and needs
		// no budget.
		if err := s.pause(ctx, tries, err, nil); err != nil {
			return s.fail(ctx, writing, err)
		}
	}
}

// commits checks records and makes them requests, each document once.
func (s *Store) commits(device string, records []hotreader.Record) ([][]byte, error) {
	if err := hotreader.CheckRecords(device, records); err != nil {
		return nil, err
	}
	if err := checkDevice(device); err != nil {
		return nil, err
	}
	writes := make([][]byte, 0, len(records))
	places := make(map[string]int, len(records))
	for i := range records {
		id, write, err := s.write(device, &records[i])
		if err != nil {
			return nil, fmt.Errorf("record %d of device %.60q: %w", i+1, device, err)
		}
		if at, again := places[id]; again {
			writes[at] = write // one commit must not set a document twice
			continue
		}
		places[id] = len(writes)
		writes = append(writes, write)
	}
	var commits [][]byte
	var request []byte
	count := 0
	for _, w := range writes {
		if count == maxBatch || count > 0 && len(request)+len(w) > maxCommitBytes {
			commits, request, count = append(commits, request), nil, 0
		}
		if count == 0 {
			request = text(make([]byte, headerBytes), 1, s.databasePath)
		}
		request = append(request, w...)
		count++
	}
	if count > 0 {
		commits = append(commits, request)
	}
	return commits, nil
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
