package azurecosmos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/internal/retries"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
)

// apiVersion is the version of the REST API: partition keys of up to 2 KB, and
// transactional batches.
const apiVersion = "2020-11-05"

// How often a request is sent at the most: for what may heal, for throttling
// and conflicts (Cosmos DB's own clients send ten times), and how long it may
// wait for capacity in all. Writers wait as long as their context allows.
const (
	maxTries     = 4
	maxThrottled = 10
	maxWait      = 30 * time.Second
)

// Between two tries the pause grows from firstPause to lastPause, of which a
// random part is waited, where Cosmos DB does not say how long.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 2 * time.Second
)

// request is one call of the REST API, which changes nothing when it is sent
// twice.
type request struct {
	verb, path string
	kind, link string      // of the resource, for the signature
	header     http.Header // beside those that all requests have; canonical names
	body       []byte
	batch      int  // > 0: a batch of so many operations
	patient    bool // waits for capacity until the context ends
}

// refusal is an answer whose status is not a success.
type refusal struct {
	status, substatus int
	message           string // Cosmos DB's own words, short; "" = it is not from Cosmos DB
	activity          string // Cosmos DB's name for the request, for its support
	contentType       string
	retryAfter        time.Duration
}

func (r *refusal) Error() string {
	text := "status " + strconv.Itoa(r.status)
	if r.substatus != 0 {
		text += "/" + strconv.Itoa(r.substatus)
	}
	if r.message != "" {
		text += ": " + r.message
	}
	return text
}

func statusOf(err error) int {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.status
	}
	return 0
}

// do sends r until it is answered or there is no more sense or time in trying,
// and keeps the answer's body in body.
//
// For what is sent again all readers share a budget, or a thousand of them would
// send ten thousand requests to a container that throttles. A single reader does
// not come to its end, for the retries of a request that is answered at last are
// given back. Free of it are a writer, who sends a few requests at a time
// whatever comes of them, and whatever token was rejected: that is tried again
// once, with another token.
func (c *Client) do(ctx context.Context, r *request, body *paging.Body) (http.Header, error) {
	var (
		waited         time.Duration
		failed, turned int // tries that failed, and that were turned away for lack of capacity
		drawn          int // retries, on the budget
	)
	c.retries.Deposit()
	for {
		header, used, err := c.try(ctx, r, body)
		if err == nil {
			c.retries.Return(drawn)
			return header, nil
		}
		var again bool
		tries, free := &failed, r.patient
		switch refused, ok := errors.AsType[*refusal](err); {
		case !ok:
			again = failed+1 < maxTries && mayHeal(err)
		case refused.status == http.StatusTooManyRequests || refused.status == statusRetryWith:
			tries = &turned
			again = r.patient || turned+1 < maxThrottled
		case refused.status == http.StatusUnauthorized:
			again, free = failed == 0 && c.credentials.refused(used), true
		default:
			again = failed+1 < maxTries && (refused.status >= 500 || refused.status == http.StatusRequestTimeout || refused.status == http.StatusGone)
		}
		pause := pauseBefore(*tries, err)
		*tries++
		if !again || ctx.Err() != nil || !r.patient && waited+pause > maxWait {
			return nil, err
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= pause {
			return nil, err // it would be over by then; so the caller learns why
		}
		if !free {
			if !c.retries.Withdraw() {
				return nil, err
			}
			drawn++
		}
		waited += pause
		if err := retries.Wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// pauseBefore returns how long to wait after err, when there were so many tries
// before.
func pauseBefore(tries int, err error) time.Duration {
	if refused, ok := errors.AsType[*refusal](err); ok && refused.retryAfter > 0 {
		// A little more, so that callers with the same answer do not return
		// together.
		return refused.retryAfter + rand.N(refused.retryAfter/8+time.Millisecond)
	}
	pause := min(firstPause<<min(tries, 10), lastPause)
	return pause/2 + rand.N(pause/2)
}

// mayHeal reports whether there is sense in sending again what was not answered.
func mayHeal(err error) bool {
	_, ours := errors.AsType[*hotreader.Error](err)
	return !ours && !errors.Is(err, context.Canceled) && !failure.Untrusted(err)
}

// statusRetryWith is Cosmos DB's own: two writes met.
const statusRetryWith = 449

// try sends r once.
func (c *Client) try(ctx context.Context, r *request, body *paging.Body) (_ http.Header, used string, _ error) {
	date := time.Now().UTC().Format(http.TimeFormat)
	used, err := c.credentials.authorize(ctx, r.verb, r.kind, r.link, date)
	if err != nil {
		return nil, "", err
	}
	q, err := http.NewRequestWithContext(ctx, r.verb, c.endpoint+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, "", err
	}
	q.Header["Authorization"] = []string{used}
	q.Header["X-Ms-Date"] = []string{date}
	q.Header["X-Ms-Version"] = []string{apiVersion}
	q.Header["Accept"] = []string{"application/json"}
	if r.body != nil {
		q.Header["Content-Type"] = []string{"application/json"}
	}
	maps.Copy(q.Header, r.header)
	resp, err := c.http.Do(q)
	if err != nil {
		return nil, used, err
	}
	defer resp.Body.Close()
	err = body.Read(resp)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, used, newRefusal(resp, body.Bytes)
	}
	if err != nil {
		return nil, used, err
	}
	if r.batch > 0 {
		err = checkBatch(resp, body.Bytes, r.batch)
	}
	return resp.Header, used, err
}

// newRefusal reads what Cosmos DB, or something in front of it, says.
func newRefusal(resp *http.Response, body []byte) *refusal {
	r := &refusal{
		status:      resp.StatusCode,
		activity:    resp.Header.Get("X-Ms-Activity-Id"),
		contentType: resp.Header.Get("Content-Type"),
	}
	r.substatus, _ = strconv.Atoi(resp.Header.Get("X-Ms-Substatus"))
	r.retryAfter = retryAfter(resp.Header)
	var said struct{ Code, Message string }
	if json.Unmarshal(body, &said) == nil {
		r.message = said.Code
		if text := tidy(said.Message); text != "" {
			if r.message != "" {
				r.message += ": "
			}
			r.message += text
		}
	}
	return r
}

// retryAfter reads how long to stay away, from Cosmos DB's own header or from
// that of a gateway in front of it.
func retryAfter(h http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("X-Ms-Retry-After-Ms"), 64); err == nil && ms > 0 && ms <= 3600_000 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	return failure.RetryAfter(h)
}

// tidy takes from Cosmos DB's message what a person can use: it wraps texts in
// JSON and adds the request's name and address, and the names of its machines.
func tidy(message string) string {
	message, _, _ = strings.Cut(message, "ActivityId:")
	message = strings.TrimPrefix(strings.TrimSpace(message), "Message: ")
	var wrapped struct{ Errors []json.RawMessage } // of texts, or of objects with a message
	if json.Unmarshal([]byte(message), &wrapped) == nil {
		var texts []string
		for _, raw := range wrapped.Errors {
			var text string
			var object struct{ Message string }
			if json.Unmarshal(raw, &text) != nil && json.Unmarshal(raw, &object) == nil {
				text = object.Message
			}
			if text != "" {
				texts = append(texts, text)
			}
		}
		if len(texts) > 0 {
			message = strings.Join(texts, "; ")
		}
	}
	message = strings.Join(strings.Fields(strings.TrimRight(message, " ,\r\n")), " ")
	if len(message) > 400 {
		message = strings.ToValidUTF8(message[:400], "") + "…"
	}
	return message
}

// checkBatch reads the answer to a batch of n operations: whether all of them
// were done. If not, none was, and it returns why.
func checkBatch(resp *http.Response, body []byte, n int) error {
	var results []struct {
		StatusCode             int
		SubStatusCode          int
		RetryAfterMilliseconds float64
	}
	if err := json.Unmarshal(body, &results); err != nil || len(results) != n {
		return &hotreader.Error{Code: hotreader.CodeProtocol,
			Err: fmt.Errorf("a batch of %d items was answered by %d results; does the endpoint know transactional batches?", n, len(results))}
	}
	for _, result := range results {
		if result.StatusCode >= 200 && result.StatusCode <= 299 || result.StatusCode == http.StatusFailedDependency {
			continue // 424: another one is the reason
		}
		r := newRefusal(resp, nil)
		r.status, r.substatus = result.StatusCode, result.SubStatusCode
		r.message = "an item of a batch was rejected"
		if ms := result.RetryAfterMilliseconds; ms > 0 && ms <= 3600_000 {
			r.retryAfter = time.Duration(ms * float64(time.Millisecond))
		}
		return r
	}
	if results[0].StatusCode == http.StatusFailedDependency {
		return &hotreader.Error{Code: hotreader.CodeProtocol, Err: errors.New("a batch failed, and no item of it says why")}
	}
	return nil
}
