package promapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"hotreader"
	"hotreader/internal/accept"
)

// encode makes JSON of what an expression came to, as Prometheus does: of limit series
// at most, unless that is 0.
func (c *call) encode(value parser.Value, limit int) {
	c.data = append(c.data, `{"resultType":"`+string(value.Type())+`","result":`...)
	switch v := value.(type) {
	case promql.Matrix:
		c.list(len(v), limit, func(i int) {
			c.data = append(appendLabels(append(c.data, `{"metric":`...), v[i].Metric), `,"values":`...)
			for k, p := range v[i].Floats {
				if c.full() {
					return
				}
				c.data = appendPoint(append(c.data, "[,"[min(k, 1)]), p.T, p.F)
			}
			c.data = append(c.data, "]}"...)
		})
	case promql.Vector:
		c.list(len(v), limit, func(i int) {
			c.data = append(appendLabels(append(c.data, `{"metric":`...), v[i].Metric), `,"value":`...)
			c.data = append(appendPoint(c.data, v[i].T, v[i].F), '}')
		})
	case promql.Scalar:
		c.data = appendPoint(c.data, v.T, v.V)
	case promql.String:
		c.data = append(appendTime(append(c.data, '['), v.T), ',')
		c.data = append(append(c.data, quote(v.V)...), ']')
	}
	c.data = append(c.data, '}')
}

// full reports whether the answer is larger than it may be.
func (c *call) full() bool { return len(c.data) > c.api.o.Answer }

const truncated = "results truncated due to limit"

// list encodes n things, limit of them at most, unless that is 0.
func (c *call) list(n, limit int, one func(i int)) {
	if limit > 0 && n > limit {
		n = limit
		c.warnings = append(c.warnings, truncated)
	}
	c.data = append(c.data, '[')
	for i := range n {
		if c.full() {
			return
		}
		if i > 0 {
			c.data = append(c.data, ',')
		}
		one(i)
	}
	c.data = append(c.data, ']')
}

// answer returns the whole answer; it leaves no data.
func (c *call) answer() []byte {
	body := append([]byte(`{"status":"success","data":`), c.data...)
	c.data = nil
	for _, part := range []struct {
		name string
		all  []string
	}{{"warnings", append(c.warnings, c.told.texts()...)}, {"infos", c.infos}} {
		if len(part.all) == 0 {
			continue
		}
		text, _ := json.Marshal(part.all) // texts cannot fail
		body = append(append(body, `,"`+part.name+`":`...), text...)
	}
	return append(body, "}\n"...)
}

func quote(text string) []byte {
	quoted, _ := json.Marshal(text) // a text cannot fail
	return quoted
}

func appendLabels(dst []byte, set labels.Labels) []byte {
	dst = append(dst, '{')
	first := true
	set.Range(func(l labels.Label) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, quote(l.Name)...), ':'), quote(l.Value)...)
	})
	return append(dst, '}')
}

func appendPoint(dst []byte, t int64, f float64) []byte {
	dst = append(appendTime(append(dst, '['), t), `,"`...)
	return append(hotreader.AppendFloat(dst, f), `"]`...)
}

// appendTime appends milliseconds as seconds.
func appendTime(dst []byte, t int64) []byte {
	if t < 0 {
		dst, t = append(dst, '-'), -t
	}
	dst = strconv.AppendInt(dst, t/1000, 10)
	if ms := t % 1000; ms > 0 {
		dst = append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return dst
}

// send answers, compressed if the caller accepts that and it is worth it. A large answer is
// held compressed in any case, for a slow caller takes long to receive it.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) error {
	const worth, large = 1 << 10, 1 << 20
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Add("Vary", "Accept-Encoding")
	n, zip := len(body), accept.Gzip(r.Header["Accept-Encoding"])
	var from io.Reader = bytes.NewReader(body)
	if n >= worth && zip || n >= large {
		var small bytes.Buffer
		z, _ := gzip.NewWriterLevel(&small, gzip.BestSpeed) // the level is valid
		_, _ = z.Write(body)                                // to memory
		_ = z.Close()
		from = &small
		if zip {
			n = small.Len()
			h.Set("Content-Encoding", "gzip")
		} else {
			from, _ = gzip.NewReader(from) // what was just written
		}
	}
	h.Set("Content-Length", strconv.Itoa(n))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := io.Copy(w, from); err != nil {
		return &hotreader.Error{Op: "send the answer", Code: hotreader.CodeCanceled, Err: err}
	}
	return nil
}
