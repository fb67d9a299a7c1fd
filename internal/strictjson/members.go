package strictjson

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Members walks over the top level of an object, and checks the text on the way, so that all is
// seen in one pass. It belongs to one goroutine.
type Members struct {
	scanner
	seen  names
	next  int  // where the next begins, without the space before it
	begun bool // { was read
	ended bool // } was read
}

// Member is one name and value, as views of the text.
type Member struct {
	Name       []byte // with quotes and escapes
	Value      []byte // without the space around it
	Begin, End int    // positions of what stands between the commas or braces around it

	name, at int // where Name and Value begin
}

// Object is for a text that is held to what Check asks for.
func Object(text []byte) Members { return Members{scanner: scanner{text: text, strict: true}} }

// LenientObject is for a text whose names may stand twice, and that is known to be UTF-8.
func LenientObject(text []byte) Members { return Members{scanner: scanner{text: text}} }

// Next finds the next member; false at the end of the text, and where Err says what is wrong.
func (m *Members) Next() (found Member, more bool) {
	if m.ended || m.err != nil {
		return Member{}, false
	}
	if !m.begun {
		at := m.begin()
		if at >= 0 && m.at(at) != '{' {
			at = m.fail(at, "an object is expected")
		}
		if at < 0 {
			return Member{}, false
		}
		m.begun, m.next = true, at+1
		if at = m.space(at + 1); m.at(at) == '}' {
			m.end(at)
			return Member{}, false
		}
	}
	at := m.space(m.next)
	nameEnd, value := m.name(&m.seen, at)
	if value < 0 {
		return Member{}, false
	}
	end := m.value(value, 1)
	if end < 0 {
		m.path = append(m.path, at)
		return Member{}, false
	}
	after := m.space(end)
	found = Member{Name: m.text[at:nameEnd], Value: m.text[value:end], Begin: m.next, End: after, name: at, at: value}
	switch m.next = after + 1; m.at(after) {
	case ',':
	case '}':
		m.end(after)
	default:
		m.fail(after, "a comma or } is expected")
	}
	return found, m.err == nil
}

func (m *Members) end(at int) {
	m.ended = true
	m.nothingAfter(at + 1)
}

// Err is nil once the text was walked over and is an object, and an *Error otherwise.
func (m *Members) Err() error { return m.error() }

// Key is the name as it is meant. Halves of surrogate pairs become U+FFFD.
func (m Member) Key() []byte {
	s := scanner{text: m.Name}
	return s.decoded(0)
}

// Text is the value if it is a string.
func (m Member) Text() (string, error) {
	switch kind := jsontext.Value(m.Value).Kind(); kind {
	case '"':
		s := scanner{text: m.Value}
		if s.plain(1) == len(m.Value)-1 {
			return string(m.Value[1 : len(m.Value)-1]), nil
		}
		text, err := jsontext.AppendUnquote(nil, m.Value)
		if err != nil {
			return "", m.Wrong(errSurrogate.Error())
		}
		return string(text), nil
	case 'n':
		return "", m.Wrong(errNull.Error())
	default:
		return "", m.Wrong(expectedNot("a string", kind))
	}
}

// Unmarshal decodes the value like UnmarshalKnown.
func (m Member) Unmarshal(v any) error {
	err := UnmarshalKnown(m.Value, v)
	if wrong, ok := errors.AsType[*Error](err); ok {
		e := m.Wrong(wrong.Message)
		if e.Offset += wrong.Offset; wrong.Field != "" {
			e.Field += "." + wrong.Field
		}
		return e
	}
	return err
}

// Unknown is the error for a name that isn't taken.
func (m Member) Unknown() *Error {
	e := m.Wrong(unknownName)
	e.Offset = int64(m.name)
	return e
}

// Wrong is an error about the value.
func (m Member) Wrong(message string) *Error {
	return &Error{Field: fmt.Sprintf("%.100s", m.Key()), Message: message, Offset: int64(m.at)}
}
