package hub

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotObject is what StampFrom returns for a message that isn't a JSON object.
var ErrNotObject = errors.New("stamping a message: not a JSON object")

// clientMessage is the fields of a client's message that the hub acts on. They are
// decoded, nil when absent, empty or not strings, and views of the message unless they
// had escapes in them.
type clientMessage struct {
	kind   []byte // "type"; the only one that may be empty
	topic  []byte
	entity []byte
	rowID  []byte // "rowId", or "row_id" when there is no rowId of any type

	// forged: to those whom it were relayed to it might say what only the server says.
	forged bool
}

// lenient is for what is relayed as it is: names may be repeated, strings cut within a character.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// parseClient reads a client's message in one pass; false for anything but a valid JSON
// object with a string type (docs/protocol.md section 2). Objects and arrays nested deeper than 10,000
// are not valid for jsontext, and so are ignored like other junk.
//
// Of a repeated key the last counts, as for JSON.parse in a browser: the hub must not
// act on another type than the clients that the message is relayed to will see.
func parseClient(message []byte) (clientMessage, bool) {
	if !jsontext.Value(message).IsValid(lenient) {
		return clientMessage{}, false
	}
	return readFields(message)
}

// readFields is parseClient for a message that is known to be valid JSON.
//
// A relay must not pass for what only the server says (docs/protocol.md section 2), whoever reads it: a
// decoder may take a key for another one that differs in case, and either of two that are
// the same. So of such keys all count. A seq makes a change event of it for Pylon's client,
// whatever its type; a second type may be any, resync included; and an event "disconnect"
// of a client is how the hub tells that somebody has left.
func readFields(message []byte) (clientMessage, bool) {
	var kind, topic, entity, camel, snake []byte // values as they stand in the message
	var folded [foldedLen]byte
	var types int
	var seq, disconnect, aboutClient bool
	object := walkMembers(message)
	for m, more := object.next(); more; m, more = object.next() {
		switch string(m.fold(&folded)) {
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
	if !object.ok || !typed {
		return clientMessage{}, false
	}
	if camel == nil {
		camel = snake
	}
	return clientMessage{
		kind: decoded, topic: nonEmpty(topic), entity: nonEmpty(entity), rowID: nonEmpty(camel),
		forged: seq || types > 1 || disconnect && aboutClient,
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

// StampFrom appends message to dst, with every top-level key that decodes to "from" in
// capitals or small letters taken out, however it is spelled, and "from" put in as the last
// one (docs/protocol.md section 2). All else, numbers, order, repeated keys and space within the object
// included, stays byte for byte.
//
// The message must be valid JSON; StampFrom checks no more of it than it needs to find
// the top-level keys, and returns dst and ErrNotObject when it can't. It keeps neither
// slice; they must not overlap.
func StampFrom(dst, message []byte, from string) ([]byte, error) {
	out := append(dst, '{')
	empty := true
	var folded [foldedLen]byte
	object := walkMembers(message)
	for m, more := object.next(); more; m, more = object.next() {
		if string(m.fold(&folded)) == "from" {
			continue
		}
		if !empty {
			out = append(out, ',')
		}
		out, empty = append(out, m.span...), false
	}
	if !object.ok || len(bytes.TrimLeft(message[object.end+1:], " \t\r\n")) > 0 {
		return dst, ErrNotObject
	}
	if !empty {
		out = append(out, ',')
	}
	out = append(out, `"from":`...)
	return append(appendJSONString(out, from), '}'), nil
}
