// Package message reads what clients send, stamps what is relayed, and encodes text messages. It is pure.
package message

import (
	"errors"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

// ErrNotObject is what StampFrom returns for a message that isn't a JSON object.
var ErrNotObject = errors.New("stamping a message: not a JSON object")

// Message is the fields of a client's message that the hub acts on. They are
// decoded, nil when absent, empty or not strings, and views of the message unless they
// had escapes in them.
type Message struct {
	Kind   []byte // "type"; the only one that may be empty
	Topic  []byte
	Entity []byte
	RowID  []byte // "rowId", or "row_id" when there is no rowId of any type

	Stamp Stamping
	// Forged: to those whom it were relayed to it might say what only the server says.
	Forged bool
}

// Parse reads a client's message, and checks it, in one pass; false for anything but a
// valid JSON object with a string type (PROTOCOL 2). Objects and arrays nested deeper than
// 10,000 are not valid, and so are ignored like other junk. Names may be repeated, and strings
// be cut within a character, as what is relayed is relayed as it is.
//
// Of a repeated key the last counts, as for JSON.parse in a browser: the hub must not
// act on another type than the clients that the message is relayed to will see.
//
// A relay must not pass for what only the server says (docs/protocol.md section 2), whoever reads it: a
// decoder may take a key for another one that differs in case, and either of two that are
// the same. So of such keys all count. A seq makes a change event of it for Pylon's client,
// whatever its type; a second type may be any, resync included; and an event "disconnect"
// of a client is how the hub tells that somebody has left.
func Parse(message []byte) (Message, bool) {
	var kind, topic, entity, camel, snake []byte // values as they stand in the message
	var folded [foldedLen]byte
	var types int
	var seq, disconnect, aboutClient bool
	var stamp Stamping
	object := strictjson.LenientObject(message)
	for found, more := object.Next(); more; found, more = object.Next() {
		m := member{found.Name, found.Value}
		name := string(m.fold(&folded))
		stamp.note(found, name == "from")
		switch name {
		case "type":
			types++
			if m.is("type") {
				kind = m.value
			}
		case "topic":
			if m.is("topic") {
				topic = m.value
			}
		case "entity":
			if m.is("entity") {
				entity = m.value
			}
		case "rowid":
			if m.is("rowId") {
				camel = m.value
			}
		case "":
			if m.is("row_id") {
				snake = m.value
			}
		case "seq":
			seq = true
		case "event":
			disconnect = disconnect || m.says("disconnect")
		case "clientid", "clientids":
			aboutClient = true
		}
	}
	decoded, typed := stringValue(kind)
	if object.Err() != nil || !typed {
		return Message{}, false
	}
	if camel == nil {
		camel = snake
	}
	return Message{
		Kind: decoded, Topic: nonEmpty(topic), Entity: nonEmpty(entity), RowID: nonEmpty(camel),
		Forged: seq || types > 1 || disconnect && aboutClient, Stamp: stamp,
	}, true
}

func stringValue(value []byte) (decoded []byte, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return nil, false
	}
	return unquote(value), true
}

func nonEmpty(value []byte) []byte {
	if decoded, _ := stringValue(value); len(decoded) > 0 {
		return decoded
	}
	return nil
}

// Stamping is where a message's members named "from" stand, and where it begins and ends.
type Stamping struct {
	begin, end int  // behind the opening brace, and the closing one; both 0 without members
	first      span // of those that go
	repeated   bool // there are others, which nobody who means well sends
}

type span struct{ begin, end int }

func (s *Stamping) note(m strictjson.Member, from bool) {
	if s.end == 0 {
		s.begin = m.Begin
	}
	s.end = m.End
	switch {
	case !from:
	case s.first == span{}:
		s.first = span{m.Begin, m.End}
	default:
		s.repeated = true
	}
}

// Apply appends the message to dst with "from" in place of all that equal it.
func (s *Stamping) Apply(dst, message []byte, from string) []byte {
	dst = append(dst, '{')
	at := s.begin
	cut := func(gone span) {
		dst = append(dst, message[at:gone.begin]...) // with the comma behind what is kept
		at = gone.end + 1
	}
	if s.first != (span{}) && !s.repeated {
		cut(s.first)
	}
	if s.repeated {
		object := strictjson.LenientObject(message)
		for m, more := object.Next(); more; m, more = object.Next() {
			if isFrom(m) {
				cut(span{m.Begin, m.End})
			}
		}
	}
	if at < s.end {
		dst = append(append(dst, message[at:s.end]...), ',')
	}
	dst = append(dst, `"from":`...)
	return append(AppendString(dst, from), '}')
}

func isFrom(m strictjson.Member) bool {
	var folded [foldedLen]byte
	return string(member{m.Name, m.Value}.fold(&folded)) == "from"
}

// StampFrom appends message to dst, with every top-level key that decodes to "from" in
// capitals or small letters taken out, however it is spelled, and "from" put in as the last
// one (PROTOCOL 2). All else, numbers, order, repeated keys and space within the object
// included, stays byte for byte.
//
// It returns dst and ErrNotObject for a message that isn't a valid JSON object. It keeps neither
// slice; they must not overlap.
func StampFrom(dst, message []byte, from string) ([]byte, error) {
	var stamp Stamping
	object := strictjson.LenientObject(message)
	for m, more := object.Next(); more; m, more = object.Next() {
		stamp.note(m, isFrom(m))
	}
	if object.Err() != nil {
		return dst, ErrNotObject
	}
	return stamp.Apply(dst, message, from), nil
}
