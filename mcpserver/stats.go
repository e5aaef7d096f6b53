package mcpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"hotreader"
)

// counted is what stats knows of a property.
type counted struct {
	Count   int64       `json:"count"`
	Lowest  json.Number `json:"lowest,omitempty"`
	Highest json.Number `json:"highest,omitempty"`
	Average *float64    `json:"average,omitempty"`
	First   value       `json:"first"`
	Last    value       `json:"last"`

	numbers   int64   // of Count; the others are texts
	long      int64   // of the numbers: have more digits than are kept
	sum, lost float64 // of the numbers, and what is lost of it to rounding; not finite if they are beyond
	low, high []byte  // digits of Lowest and Highest

	at   time.Time // of the last value
	last hotreader.Value
	text []byte // of last
}

type statsOut struct {
	Properties map[string]*counted `json:"properties"`
	Complete   bool                `json:"complete" jsonschema:"false: not all rows or properties are counted; ask for a shorter range or fewer properties"`
	Rows       int64               `json:"stands_for_rows" jsonschema:"stored rows that were counted"`
	Warnings   []string            `json:"warnings,omitempty"`
}

// maxRows is how many rows stats counts.
const maxRows = 5_000_000

func (c calls) stats(ctx context.Context, in rangeIn) (out statsOut, err error) {
	q, all, err := c.query(ctx, in.Device, in.Properties)
	if err != nil {
		return out, err
	}
	if err := c.between(&q, in); err != nil {
		return out, err
	}
	out.Properties, out.Complete = map[string]*counted{}, all
	stats := new(hotreader.Stats)
	for row, err := range c.o.Reader.Read(hotreader.WithStats(ctx, stats), q) {
		if err != nil {
			return out, err
		}
		if out.Rows == maxRows {
			out.Complete = false
			break
		}
		out.Rows++
		for i, v := range row.Values {
			if v.IsNull() {
				continue
			}
			of := out.Properties[q.Properties[i]]
			if of == nil {
				of = &counted{First: value{stamp(row.Time), plain(v)}}
				out.Properties[q.Properties[i]] = of
			}
			of.add(row.Time, v)
		}
	}
	left := maxBytes
	for _, name := range q.Properties {
		of := out.Properties[name]
		if of == nil {
			continue
		}
		out.Warnings = append(out.Warnings, of.end(name)...)
		if left -= size(of) + len(name) + 4; left < 0 {
			out.Complete = false
			delete(out.Properties, name)
		}
	}
	out.Warnings = c.told(ctx, stats, out.Warnings)
	return out, nil
}

func (c *counted) add(at time.Time, v hotreader.Value) {
	c.Count++
	c.at, c.last, c.Last.Value = at, v, nil
	switch text := v.Text(); {
	case len(text) > maxText: // it is not kept
		c.last, c.Last.Value = hotreader.Value{}, plain(v)
	case v.Kind() == hotreader.Number:
		c.text = append(c.text[:0], text...)
		c.last = hotreader.NumberValue(c.text)
	case v.Kind() == hotreader.String:
		c.text = append(c.text[:0], text...)
		c.last = hotreader.StringValue(c.text)
	}
	if v.Kind() != hotreader.Number {
		return
	}
	f, _ := v.Float64()
	c.numbers++
	large, small := c.sum, f
	if math.Abs(f) > math.Abs(c.sum) {
		large, small = f, c.sum
	}
	c.sum += f
	c.lost += large - c.sum + small // Neumaier's summation
	if len(v.Text()) > maxText {
		c.long++
		return
	}
	if c.low == nil || hotreader.CompareNumbers(v.Text(), c.low) < 0 {
		c.low = append(c.low[:0], v.Text()...)
	}
	if c.high == nil || hotreader.CompareNumbers(v.Text(), c.high) > 0 {
		c.high = append(c.high[:0], v.Text()...)
	}
}

// end sets the last value and what is known of the numbers, and says of the property of
// that name what is not.
func (c *counted) end(name string) (warnings []string) {
	if c.Last.Time = stamp(c.at); c.Last.Value == nil {
		c.Last.Value = plain(c.last)
	}
	c.Lowest, c.Highest = json.Number(c.low), json.Number(c.high)
	if c.long > 0 {
		warnings = append(warnings, cut(fmt.Sprintf("lowest and highest are without %d numbers of more than %d characters: %s", c.long, maxText, name)))
	}
	switch average := (c.sum + c.lost) / float64(c.numbers); {
	case c.numbers == 0:
	case math.Abs(average) <= math.MaxFloat64: // not NaN
		c.Average = &average
	default:
		warnings = append(warnings, cut("there is no average, for the numbers or their sum are beyond a float64: "+name))
	}
	return warnings
}
