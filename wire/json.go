package wire

// maxDepth is how deeply what validJSON looks at may be nested. It only keeps the
// stack small: who believes validJSON for more asks encoding/json.
const maxDepth = 64

// validJSON reports whether text, which is valid UTF-8, is one JSON value, as
// encoding/json's Valid does, nested at most maxDepth deep.
func validJSON(text string) bool {
	i := valueCheck(text, blanks(text, 0), maxDepth)
	return i >= 0 && blanks(text, i) == len(text)
}

// blanks returns the index of the first byte from text[i] on that is not blank.
func blanks(text string, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// valueCheck returns the index behind the value that begins at text[i], -1 if
// there is none.
func valueCheck(text string, i, depth int) int {
	if i >= len(text) || depth == 0 {
		return -1
	}
	switch text[i] {
	case '"':
		return stringCheck(text, i)
	case '{':
		return objectCheck(text, i, depth)
	case '[':
		return listCheck(text, i, depth)
	case 't':
		return wordCheck(text, i, "true")
	case 'f':
		return wordCheck(text, i, "false")
	case 'n':
		return wordCheck(text, i, "null")
	}
	return numberCheck(text, i)
}

func objectCheck(text string, i, depth int) int {
	if i = blanks(text, i+1); i < len(text) && text[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(text) || text[i] != '"' {
			return -1
		}
		if i = stringCheck(text, i); i < 0 {
			return -1
		}
		if i = blanks(text, i); i >= len(text) || text[i] != ':' {
			return -1
		}
		if i = valueCheck(text, blanks(text, i+1), depth-1); i < 0 {
			return -1
		}
		if i = blanks(text, i); i >= len(text) {
			return -1
		}
		switch text[i] {
		case '}':
			return i + 1
		case ',':
			i = blanks(text, i+1)
		default:
			return -1
		}
	}
}

func listCheck(text string, i, depth int) int {
	if i = blanks(text, i+1); i < len(text) && text[i] == ']' {
		return i + 1
	}
	for {
		if i = valueCheck(text, i, depth-1); i < 0 {
			return -1
		}
		if i = blanks(text, i); i >= len(text) {
			return -1
		}
		switch text[i] {
		case ']':
			return i + 1
		case ',':
			i = blanks(text, i+1)
		default:
			return -1
		}
	}
}

func wordCheck(text string, i int, word string) int {
	if end := i + len(word); end <= len(text) && text[i:end] == word {
		return end
	}
	return -1
}

func stringCheck(text string, i int) int {
	for i++; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i++; i >= len(text) {
				return -1
			}
			switch text[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(text) || !hexDigit(text[i+1]) || !hexDigit(text[i+2]) || !hexDigit(text[i+3]) || !hexDigit(text[i+4]) {
					return -1
				}
				i += 4
			default:
				return -1
			}
		}
	}
	return -1
}

func hexDigit(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func digit(c byte) bool { return c-'0' <= 9 }

// digitRun returns the index behind the digits at text[i], -1 if there are none.
func digitRun(text string, i int) int {
	from := i
	for i < len(text) && digit(text[i]) {
		i++
	}
	if i == from {
		return -1
	}
	return i
}

func numberCheck(text string, i int) int {
	if text[i] == '-' {
		i++
	}
	if i < len(text) && text[i] == '0' {
		i++
	} else if i = digitRun(text, i); i < 0 {
		return -1
	}
	if i < len(text) && text[i] == '.' {
		if i = digitRun(text, i+1); i < 0 {
			return -1
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		if i++; i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		return digitRun(text, i)
	}
	return i
}
