package awsdynamodb

import (
	"bytes"
	"encoding/binary"

	"hotreader"
	"hotreader/internal/jsontext"
)

// A pattern is all that an item has but its values. An item that is, byte for
// byte, the same but for its values needs no look at anything else: what was read
// once is known.
type pattern struct {
	text   []byte // in front of the values and between them, one behind the other
	fields []field
	end    []byte  // behind the last value
	absent []int32 // columns for which there is no field
	time   timeText

	wait, pause int // items to come before the next is learned, and after that
}

// A field is a value's place in a pattern.
type field struct {
	front  []byte // what stands in front of the value, from the value before
	kind   byte   // N, S or B, as in BOOL
	when   bool   // the value is the time key, and of its kind
	column int32  // -1 = none
	shape  jsontext.Shape
}

// maxPause bounds how many items of other patterns may come before the next is
// learned, which costs about as much as to read it.
const maxPause = 64

// forget makes p a pattern that no item has.
func (p *pattern) forget() {
	p.fields = p.fields[:0]
	p.time.length = 0
	p.wait, p.pause = 1, 1
}

// wanted reports whether the item that was not of this pattern should be the next
// pattern. One odd item among others is no reason, and where each is different
// there is nothing to be learned.
func (p *pattern) wanted() bool {
	if p.wait--; p.wait > 0 {
		return false
	}
	p.pause = min(2*p.pause, maxPause)
	p.wait = p.pause
	return true
}

// read decodes the item at data[i] if it is of this pattern. Else ok is false,
// end is i, and values hold nothing of use.
func (p *pattern) read(data []byte, i int, values []hotreader.Value) (at []byte, end int, ok bool) {
	if len(p.fields) == 0 {
		return nil, i, false
	}
	next := i
	for k := range p.fields {
		f := &p.fields[k]
		text := next + len(f.front)
		if text > len(data) || string(data[next:text]) != string(f.front) {
			return nil, i, false
		}
		var v hotreader.Value
		switch f.kind {
		case 'N':
			// What stands behind it, be it a digit, the next front shows.
			if next = f.shape.Number(data, text); next == 0 {
				return nil, i, false
			}
			v = hotreader.NumberValue(data[text:next:next])
		case 'S':
			if f.when && p.time.again(data, text) {
				next = text + p.time.length
			} else if next = jsontext.PlainString(data, text); next == 0 {
				return nil, i, false
			} else if f.when {
				p.time.keep(data, text, next)
			}
			v = hotreader.StringValue(data[text:next:next])
		default:
			switch truth := data[text:]; {
			case bytes.HasPrefix(truth, []byte("true")):
				v, next = hotreader.BoolValue(true), text+len("true")
			case bytes.HasPrefix(truth, []byte("false")):
				v, next = hotreader.BoolValue(false), text+len("false")
			default:
				return nil, i, false
			}
		}
		if f.column >= 0 {
			values[f.column] = v
		}
		if f.when {
			at = data[text:next:next]
		}
	}
	if end = next + len(p.end); end > len(data) || string(data[next:end]) != string(p.end) {
		return nil, i, false
	}
	for _, column := range p.absent {
		values[column] = hotreader.Value{}
	}
	p.wait, p.pause = 2, 1
	return at, end, true
}

// timeText is what is known of the text of a time key: the next is of the same
// length, and begins alike.
type timeText struct {
	front  [2]uint64
	length int // 0 = nothing is known
}

// keep takes the text from data[from] to end, which is plain.
func (t *timeText) keep(data []byte, from, end int) {
	if t.length = end - from; t.length < 16 || t.length > 24 {
		t.length = 0
		return
	}
	t.front = [2]uint64{binary.LittleEndian.Uint64(data[from:]), binary.LittleEndian.Uint64(data[from+8:])}
}

// again reports whether a plain text of the same length stands at data[from] that
// has the same first 16 bytes. If not, nothing is known.
func (t *timeText) again(data []byte, from int) bool {
	if t.length == 0 || len(data)-from <= t.length {
		return false
	}
	text := data[from : from+t.length+1]
	return binary.LittleEndian.Uint64(text) == t.front[0] && binary.LittleEndian.Uint64(text[8:]) == t.front[1] &&
		jsontext.Plain(binary.LittleEndian.Uint64(text[t.length-8:])) && text[t.length] == '"'
}

// learn makes the item from d.Data[from] to Pos, which has been read, the
// pattern. An item in which anything is spelled in another way than DynamoDB
// spells it, or that has other values than numbers, texts and truths, is none.
func (d *decoder) learn(from int) {
	if !d.learned(d.Data[from:d.Pos]) {
		d.like.fields = d.like.fields[:0]
	}
}

func (d *decoder) learned(item []byte) bool {
	p := &d.like
	p.text, p.fields, p.absent = append(p.text[:0], item...), p.fields[:0], p.absent[:0]
	item = p.text // which stays when the page goes
	const open = `{"`
	if !bytes.HasPrefix(item, []byte(open)) {
		return false
	}
	front, name := 0, len(open)
	for {
		quote := bytes.IndexByte(item[name:], '"')
		if quote < 0 || bytes.IndexByte(item[name:name+quote], '\\') >= 0 {
			return false
		}
		f := field{column: -1}
		kind := name + quote
		var text, end int
		switch rest := item[kind:]; {
		case bytes.HasPrefix(rest, []byte(`":{"N":"`)):
			text = kind + len(`":{"N":"`)
			f.kind, end = 'N', jsontext.NumberEnd(item, text)
		case bytes.HasPrefix(rest, []byte(`":{"S":"`)):
			text = kind + len(`":{"S":"`)
			f.kind, end = 'S', jsontext.PlainString(item, text)
		case bytes.HasPrefix(rest, []byte(`":{"BOOL":`)):
			text = kind + len(`":{"BOOL":`)
			f.kind = 'B'
			if end = text + len("true"); item[text] == 'f' {
				end = text + len("false")
			}
		}
		if end == 0 {
			return false
		}
		for i := range d.names {
			if d.names[i] == string(item[name:kind]) {
				if i < d.values {
					f.column = int32(i)
				}
				f.when = i == d.when && f.kind == d.kind
				break
			}
		}
		f.front = item[front:text]
		p.fields = append(p.fields, f)
		front = end

		behind := `"}`
		if f.kind == 'B' {
			behind = `}`
		}
		switch rest := item[end:]; {
		case string(rest) == behind+"}":
			p.end = rest
			for i := range d.values {
				if !has(p.fields, int32(i)) {
					p.absent = append(p.absent, int32(i))
				}
			}
			return true
		case bytes.HasPrefix(rest, []byte(behind+`,"`)):
			name = end + len(behind+`,"`)
		default:
			return false
		}
	}
}

func has(fields []field, column int32) bool {
	for i := range fields {
		if fields[i].column == column {
			return true
		}
	}
	return false
}
