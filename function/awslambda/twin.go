package awslambda

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/observe/seen"
)

// Twin says from what TwinMaker's queries are answered.
type Twin struct {
	Devices   twinmaker.Devices
	Responder twinmaker.Responder
	Logger    *slog.Logger  // one line a query; nil = none
	Observer  seen.Observer // sees each query; may be nil

	// TraceID returns the trace of an invocation; nil, and "" = the request's id
	// without its hyphens.
	TraceID func(context.Context) string

	// Reuse says that the caller calls Invoke one call after the other, and
	// is done with an answer when it makes the next call, as aws-lambda-go is
	// where a function has one invocation at a time. Then an answer's memory is
	// used for the next, too.
	Reuse bool
}

// TraceID returns a request's id as a trace: a UUID's 32 digits.
func TraceID(ctx context.Context) string { return strings.ReplaceAll(requestID(ctx), "-", "") }

// History returns the handler of TwinMaker's dataReader connector.
func History(t Twin) lambda.Handler {
	return newConnector("hot-reader", t, t.Devices.DecodeHistory, (*twinmaker.Responder).AppendHistory)
}

// LastEntry returns the handler of TwinMaker's
// attributePropertyValueReaderByEntity connector.
func LastEntry(t Twin) lambda.Handler {
	return newConnector("hot-reader-last-entry", t, t.Devices.DecodeLastEntry, (*twinmaker.Responder).AppendLastEntry)
}

// connector answers one kind of query: event in, TwinMaker's JSON out.
type connector struct {
	name      string
	responder twinmaker.Responder
	logger    *slog.Logger
	observer  seen.Observer
	trace     func(context.Context) string
	decode    func(context.Context, []byte) (twinmaker.Request, error)
	answer    func(*twinmaker.Responder, context.Context, []byte, twinmaker.Request) ([]byte, error)
	size      atomic.Int64 // of the last answer: a dashboard asks for the like again
	reuse     bool
	kept      []byte // the last answer, with reuse
}

func newConnector(name string, t Twin, decode func(context.Context, []byte) (twinmaker.Request, error),
	answer func(*twinmaker.Responder, context.Context, []byte, twinmaker.Request) ([]byte, error)) *connector {
	if t.Logger == nil {
		t.Logger = slog.New(slog.DiscardHandler)
	}
	trace := TraceID
	if t.TraceID != nil {
		trace = func(ctx context.Context) string { return cmp.Or(t.TraceID(ctx), TraceID(ctx)) }
	}
	return &connector{name: name, responder: t.Responder, logger: t.Logger, observer: t.Observer, trace: trace, decode: decode, answer: answer, reuse: t.Reuse}
}

// Invoke implements lambda.Handler.
func (c *connector) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	q := &query{began: time.Now()}
	id := requestID(ctx)
	limited, cancel := withReserve(hotreader.WithStats(ctx, &q.stats))
	defer cancel()
	var body []byte
	err := hotreader.Recovered("function", func() (err error) { // aws-lambda-go would show TwinMaker the stack and end the process
		body, err = c.serve(limited, event, q)
		return err
	})
	c.tell(ctx, id, q, len(body), err)
	if err != nil {
		return nil, failure(err, id)
	}
	return body, nil
}

func (c *connector) serve(ctx context.Context, event []byte, q *query) ([]byte, error) {
	var err error
	if q.request, err = c.decode(ctx, event); err != nil {
		return nil, err
	}
	dst := c.kept[:0]
	if !c.reuse {
		dst = make([]byte, 0, c.size.Load())
	}
	body, err := c.answer(&c.responder, ctx, dst, q.request)
	if err == nil {
		err = bounded(body)
	}
	if err != nil {
		return nil, err
	}
	if c.reuse {
		c.kept = body
	}
	c.size.Store(int64(len(body)) + int64(len(body))/8)
	return body, nil
}

// tell reports the query to the observer, and writes its line of the log.
func (c *connector) tell(ctx context.Context, id string, q *query, size int, err error) {
	r := &q.request
	e := &seen.Query{
		Level: level(err), Function: c.name, RequestID: id, TraceID: c.trace(ctx), // as the API in the other cloud gets it
		Device: asked(r), Properties: len(r.Query.Properties), FirstPage: r.NextToken == "",
		Rows: int(q.stats.Rows.Load()), Points: int(q.stats.Points.Load()), Stats: &q.stats, Bytes: int64(size), Duration: time.Since(q.began), Err: err,
	}
	e.Tell(ctx, c.logger, c.observer)
}

// asked is the device that a query was for, or the type of all its devices, which has
// no device's name.
func asked(r *twinmaker.Request) string {
	if r.Fleet != nil {
		return r.Fleet.Type
	}
	return r.Query.Device
}

// query is what is known of one query when it is logged.
type query struct {
	began   time.Time
	request twinmaker.Request
	stats   hotreader.Stats // the last row may be left to the next page
}
