package jsontext

// Kind is what a JSON value is, in words for a message.
type Kind string

// The kinds.
const (
	Missing Kind = "missing"
	Null    Kind = "null"
	Boolean Kind = "a boolean"
	Number  Kind = "a number"
	String  Kind = "a string"
	Array   Kind = "an array"
	Object  Kind = "an object"
)

// KindOf returns the kind of a JSON value, by how it begins.
func KindOf(value []byte) Kind {
	for _, c := range value {
		switch {
		case blank(c):
			continue
		case c == '{':
			return Object
		case c == '[':
			return Array
		case c == '"':
			return String
		case c == 't', c == 'f':
			return Boolean
		case c == 'n':
			return Null
		}
		return Number
	}
	return Missing
}
