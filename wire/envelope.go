package wire

import (
	"math"
	"strconv"
	"time"

	"hotreader"
	"hotreader/internal/jsontext"
)

// MaxEnvelope bounds a request's body, in bytes.
const MaxEnvelope = 64 << 10

// The layers that the read path addresses: the history from a tier down, as far as it
// lies in the API's cloud without a gap.
const (
	TargetLayer  = "L3-Hot-Read"
	ColdLayer    = "L3-Cold-Read"
	ArchiveLayer = "L3-Archive-Read"
)

// Values of an Envelope's MessageType.
const (
	MessageQuery     = "query"
	MessageLastEntry = "query_last_entry"
)

// Envelope is the body of POST /read.
type Envelope struct {
	SourceCloud string // "aws", "azure", "gcp", or a foreign caller's own name; may be empty
	TargetLayer string // TargetLayer, ColdLayer or ArchiveLayer
	MessageType string // MessageQuery or MessageLastEntry
	Timestamp   string // when the caller sent it, in its own format; informative
	TraceID     string // up to 128 printable ASCII characters; may be empty
	Payload     Payload
}

// Payload is the query in an Envelope.
type Payload struct {
	Device     string
	Start, End time.Time // zero = open
	Properties []string
	Types      []hotreader.Type // of Properties, one by one; nil = none is declared
	Order      hotreader.Order
	Filters    []hotreader.Filter

	// MaxResults counts points, over all properties. 0 = as many as the
	// answer's budgets allow.
	MaxResults    int
	NextToken     string        // from the previous page; JSON answers only
	Interpolation time.Duration // step of linear interpolation, JSON answers only; 0 = none
	Pick          hotreader.Pick

	// The entity that a JSON answer names; both or neither.
	EntityID, ComponentName string
}

// NewEnvelope returns the request for q, with the present time. MaxResults counts
// points, so it is q's limit × properties.
func NewEnvelope(q hotreader.Query, sourceCloud, traceID string) *Envelope {
	e := &Envelope{
		SourceCloud: sourceCloud,
		TargetLayer: TargetLayer,
		MessageType: MessageQuery,
		Timestamp:   string(hotreader.AppendTime(nil, time.Now())),
		TraceID:     traceID,
		Payload: Payload{Device: q.Device, Start: q.Start, End: q.End, Properties: q.Properties,
			Types: q.Types, Order: q.Order, Filters: q.Filters, Pick: q.Pick},
	}
	if q.Last {
		e.MessageType, e.Payload.Order = MessageLastEntry, hotreader.Ascending
	} else if n := len(q.Properties); n > 0 && q.Limit > 0 && q.Limit <= math.MaxInt32/n {
		e.Payload.MaxResults = q.Limit * n
	}
	return e
}

// Query returns the query in e. Its Limit is MaxResults in whole rows, at least one.
// An answer in pages of points uses MaxResults instead.
func (e *Envelope) Query() (hotreader.Query, error) {
	p := &e.Payload
	q := hotreader.Query{Device: p.Device, Properties: p.Properties, Types: p.Types, Start: p.Start, End: p.End,
		Order: p.Order, Filters: p.Filters, Pick: p.Pick, Last: e.MessageType == MessageLastEntry}
	if q.Last {
		q.Order = hotreader.Ascending
	} else if p.MaxResults > 0 && len(p.Properties) > 0 {
		q.Limit = max(p.MaxResults/len(p.Properties), 1)
	}
	return q, q.Check()
}

// The first and last times that the text of a time can express; time.Time itself
// reaches further. As an end, lastTime means an open range; an open start is
// written as the zero time.Time.
var (
	firstTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
)

func appendBound(dst []byte, t, open time.Time) []byte {
	switch {
	case t.IsZero():
		t = open
	case t.Before(firstTime):
		t = firstTime
	case t.After(lastTime):
		t = lastTime
	}
	dst = hotreader.AppendTime(append(dst, '"'), t)
	return append(dst, '"')
}

// Append appends e as JSON.
func (e *Envelope) Append(dst []byte) []byte {
	p := &e.Payload
	text := func(key, value string) { dst = jsontext.AppendString(append(dst, key...), value) }
	optional := func(key, value string) {
		if value != "" {
			text(key, value)
		}
	}
	text(`{"source_cloud":`, e.SourceCloud)
	text(`,"target_layer":`, e.TargetLayer)
	text(`,"message_type":`, e.MessageType)
	text(`,"timestamp":`, e.Timestamp)
	text(`,"trace_id":`, e.TraceID)
	text(`,"payload":{"iot_device_id":`, p.Device)
	dst = appendBound(append(dst, `,"start_time":`...), p.Start, time.Time{})
	dst = appendBound(append(dst, `,"end_time":`...), p.End, lastTime)
	dst = append(dst, `,"selected_properties":[`...)
	between := ""
	for _, name := range p.Properties {
		text(between, name)
		between = ","
	}
	dst = append(dst, ']')
	between = `,"property_types":{`
	for i, t := range p.Types {
		if t != hotreader.Untyped && t < hotreader.AsStored && i < len(p.Properties) {
			text(between, p.Properties[i])
			text(":", t.String())
			between = ","
		}
	}
	if between == "," {
		dst = append(dst, '}')
	}
	if e.MessageType != MessageLastEntry {
		text(`,"order":`, p.Order.String())
	}
	if p.MaxResults > 0 {
		dst = strconv.AppendInt(append(dst, `,"max_results":`...), int64(p.MaxResults), 10)
	}
	optional(`,"next_token":`, p.NextToken)
	between = `,"filters":[`
	for _, f := range p.Filters {
		text(between+`{"property_name":`, f.Property)
		text(`,"operator":`, f.Op.String())
		dst = append(appendValue(append(dst, `,"value":`...), f.Value), '}')
		between = ","
	}
	if between == "," {
		dst = append(dst, ']')
	}
	if p.Interpolation > 0 {
		dst = append(dst, `,"interpolation":{"interpolation_type":"LINEAR","interval_in_seconds":`...)
		dst = append(strconv.AppendInt(dst, int64(p.Interpolation/time.Second), 10), '}')
	}
	dst = appendPick(dst, p.Pick)
	optional(`,"entity_id":`, p.EntityID)
	optional(`,"component_name":`, p.ComponentName)
	return append(dst, '}', '}')
}

func appendPick(dst []byte, p hotreader.Pick) []byte {
	if p.Kind == hotreader.PickAll {
		return dst
	}
	dst = append(append(dst, `,"downsample":{"pick":"`...), p.Kind.String()...)
	dst = append(hotreader.AppendTime(append(dst, `","origin":"`...), p.Origin), `","every_ms":`...)
	return append(strconv.AppendInt(dst, p.Every.Milliseconds(), 10), '}')
}

func appendValue(dst []byte, v hotreader.Value) []byte {
	switch v.Kind() {
	case hotreader.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case hotreader.Number:
		return append(dst, v.Text()...)
	case hotreader.String:
		return jsontext.AppendString(dst, v.Text())
	}
	return append(dst, "null"...)
}
