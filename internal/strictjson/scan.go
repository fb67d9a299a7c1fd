package strictjson

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep objects and arrays may be nested, as for package jsontext.
const maxDepth = 10_000

// scanner finds out whether a text is JSON, in one pass and without decoding it. Its methods
// take the position where something begins, and return the one behind it, or -1 after err was
// set. It is owned by the goroutine that scans.
type scanner struct {
	text   []byte
	strict bool // text must be UTF-8, and names stand once
	err    *Error
	path   []int    // where the names begin that lead to a name that stands twice, the innermost first
	spare  []uint32 // for the names of the next large object
}

func (s *scanner) fail(at int, message string) int {
	s.err = &Error{Message: message, Offset: int64(at), Syntax: true}
	if at >= len(s.text) {
		s.err.Message, s.err.Offset = "the value isn't complete", int64(len(s.text))
	}
	return -1
}

// whole scans a text that is one value.
func (s *scanner) whole() {
	at := s.begin()
	if at >= 0 {
		at = s.value(at, 0)
	}
	if at >= 0 {
		s.nothingAfter(at)
	}
}

// begin is where the text's value begins.
func (s *scanner) begin() int {
	if len(s.text) > math.MaxUint32 { // names are positions of so many bits
		return s.fail(0, "it has more than 4 GiB")
	}
	return s.space(0)
}

func (s *scanner) nothingAfter(end int) {
	if end = s.space(end); end < len(s.text) {
		s.fail(end, "something follows the value")
	}
}

func (s *scanner) space(at int) int {
	for at < len(s.text) && (s.text[at] == ' ' || s.text[at] == '\n' || s.text[at] == '\t' || s.text[at] == '\r') {
		at++
	}
	return at
}

// at is the byte there, 0 at the end, where nothing fits.
func (s *scanner) at(i int) byte {
	if i < len(s.text) {
		return s.text[i]
	}
	return 0
}

// value scans the value that begins at at, within so many objects and arrays.
func (s *scanner) value(at, depth int) int {
	switch c := s.at(at); c {
	case '"':
		return s.string(at)
	case '{':
		return s.object(at, depth+1)
	case '[':
		return s.array(at, depth+1)
	case 't':
		return s.literal(at, "true")
	case 'f':
		return s.literal(at, "false")
	case 'n':
		return s.literal(at, "null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.number(at)
	}
	return s.fail(at, "a value is expected")
}

func (s *scanner) literal(at int, word string) int {
	for i := range len(word) {
		if s.at(at+i) != word[i] {
			return s.fail(at+i, word+" is expected")
		}
	}
	return at + len(word)
}

// number is RFC 8259 section 6.
func (s *scanner) number(at int) int {
	if s.text[at] == '-' {
		at++
	}
	if s.at(at) == '0' {
		at++
	} else if at = s.digits(at); at < 0 {
		return at
	}
	if s.at(at) == '.' {
		if at = s.digits(at + 1); at < 0 {
			return at
		}
	}
	if c := s.at(at); c != 'e' && c != 'E' {
		return at
	}
	at++
	if c := s.at(at); c == '+' || c == '-' {
		at++
	}
	return s.digits(at)
}

func (s *scanner) digits(at int) int {
	begin := at
	for '0' <= s.at(at) && s.at(at) <= '9' {
		at++
	}
	if at == begin {
		return s.fail(at, "a digit is expected")
	}
	return at
}

// string is RFC 8259 section 7, but that halves of surrogate pairs may be escaped alone.
func (s *scanner) string(at int) int {
	for i := at + 1; ; {
		i = s.plain(i)
		switch c := s.at(i); {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = s.escape(i); i < 0 {
				return i
			}
		case c >= utf8.RuneSelf:
			if i = s.characters(i); i < 0 {
				return i
			}
		default:
			return s.fail(i, "a control character in a string has to be escaped")
		}
	}
}

// characters scans those that aren't ASCII.
func (s *scanner) characters(at int) int {
	for at < len(s.text) && s.text[at] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(s.text[at:])
		if s.strict && r == utf8.RuneError && size == 1 {
			s.err = &Error{Message: "not valid UTF-8", Offset: int64(at), Syntax: true}
			return -1
		}
		at += size
	}
	return at
}

// plain is the position of the next byte that is none of a string's ordinary ASCII.
func (s *scanner) plain(at int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; at+8 <= len(s.text); at += 8 {
		w := binary.LittleEndian.Uint64(s.text[at:])
		quote, escape := w^ones*'"', w^ones*'\\'
		// A byte's top bit is set where it was less than what is taken from it. Borrowing may set it
		// in a byte above such a one too, so only the first counts.
		special := w | (w-ones*' ')&^w | (quote-ones)&^quote | (escape-ones)&^escape
		if special &= tops; special != 0 {
			return at + bits.TrailingZeros64(special)/8
		}
	}
	for at < len(s.text) {
		c := s.text[at]
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
		at++
	}
	return at
}

func (s *scanner) escape(at int) int {
	c := s.at(at + 1)
	if c != 'u' {
		if c == 0 || strings.IndexByte(`"\/bfnrt`, c) < 0 {
			return s.fail(at+1, "there is no such escape")
		}
		return at + 2
	}
	for i := at + 2; i < at+6; i++ {
		switch c := s.at(i); {
		case '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'f':
		default:
			return s.fail(i, "a hexadecimal digit is expected")
		}
	}
	return at + 6
}

func (s *scanner) array(at, depth int) int {
	if depth > maxDepth {
		return s.fail(at, "it is nested too deeply")
	}
	if at = s.space(at + 1); s.at(at) == ']' {
		return at + 1
	}
	for {
		if at = s.value(at, depth); at < 0 {
			return at
		}
		switch at = s.space(at); s.at(at) {
		case ',':
			at = s.space(at + 1)
		case ']':
			return at + 1
		default:
			return s.fail(at, "a comma or ] is expected")
		}
	}
}

func (s *scanner) object(at, depth int) int {
	if depth > maxDepth {
		return s.fail(at, "it is nested too deeply")
	}
	if at = s.space(at + 1); s.at(at) == '}' {
		return at + 1
	}
	var seen names
	for {
		_, value := s.name(&seen, at)
		if value < 0 {
			return value
		}
		end := s.value(value, depth)
		if end < 0 {
			s.path = append(s.path, at)
			return end
		}
		switch at = s.space(end); s.at(at) {
		case ',':
			at = s.space(at + 1)
		case '}':
			s.forget(&seen)
			return at + 1
		default:
			return s.fail(at, "a comma or } is expected")
		}
	}
}

// name scans a member up to its value, which begins at value. end is behind the name.
func (s *scanner) name(seen *names, at int) (end, value int) {
	if s.at(at) != '"' {
		return 0, s.fail(at, "a name in quotes is expected")
	}
	if end = s.string(at); end < 0 {
		return 0, end
	}
	if s.strict && !s.add(seen, at, end) {
		s.err = &Error{Message: "stands twice", Offset: int64(at)}
		s.path = append(s.path, at)
		return 0, -1
	}
	if value = s.space(end); s.at(value) != ':' {
		return 0, s.fail(value, "a colon is expected")
	}
	return end, s.space(value + 1)
}

// error is what is wrong, or nil.
func (s *scanner) error() error {
	if s.err == nil {
		return nil
	}
	if !s.err.Syntax {
		s.err.Field = s.field()
	}
	return s.err
}

// field joins the path with dots. A text can have names without end.
func (s *scanner) field() string {
	const most = 100 // characters
	var field []rune
	for i := len(s.path) - 1; i >= 0 && len(field) <= most; i-- {
		if i < len(s.path)-1 {
			field = append(field, '.')
		}
		field = append(field, []rune(string(s.decoded(s.path[i])))...)
	}
	return string(field[:min(len(field), most)])
}

// decoded is what a string stands for that was scanned before. Halves of surrogate pairs become
// U+FFFD.
func (s *scanner) decoded(at int) []byte {
	quoted := s.text[at:s.string(at)]
	if plain := s.text[at+1 : s.plain(at+1)]; len(plain) == len(quoted)-2 {
		return plain
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // the error is about what became U+FFFD
	return text
}
