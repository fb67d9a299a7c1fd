package hub

import (
	"encoding/json"
	"strconv"

	"github.com/busbar-ws/busbar/hub/internal/message"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// EncodeEvent is the event as clients get it: the keys of docs/protocol.md section 3 in their order,
// data byte for byte as given, and no data on a delete or when there is none. A
// *FieldError says that data isn't valid JSON in UTF-8 whose names stand once.
func EncodeEvent(e Event) ([]byte, error) {
	if e.Kind == Delete {
		e.Data = nil
	}
	if err := checkData(e.Data); err != nil {
		return nil, err
	}
	return appendEvent(make([]byte, 0, eventSize(&e)), &e), nil
}

// checkData also asks for UTF-8, because a text message that isn't costs every client that gets it
// its connection (RFC 6455, section 8.1), and for names that stand once, because of two one client
// takes the first and another the last.
func checkData(data json.RawMessage) error {
	if len(data) == 0 {
		return nil
	}
	return checkJSON("data", data)
}

func checkJSON(field string, text []byte) error {
	if err := strictjson.Check(text); err != nil {
		return &FieldError{Field: field, Message: err.Error(), cause: err}
	}
	return nil
}

// eventSize is the length of the event encoded, at most 19 bytes too large by the digits of its seq.
func eventSize(e *Event) int {
	const longestSeq = 20
	size := len(`{"seq":,"entity":,"row_id":,"kind":,"timestamp":}`) + longestSeq +
		message.QuotedSize(e.Entity) + message.QuotedSize(e.RowID) + message.QuotedSize(string(e.Kind)) + message.QuotedSize(e.Timestamp)
	if len(e.Data) > 0 {
		size += len(`,"data":`) + len(e.Data)
	}
	return size
}

// eventWire is the event, whose data was checked before, as a frame's bytes.
func eventWire(e *Event) []byte {
	return message.Wire(appendEvent(message.Room(eventSize(e)), e))
}

// appendEvent encodes an event whose data was checked before.
func appendEvent(dst []byte, e *Event) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = append(dst, `,"entity":`...)
	dst = message.AppendString(dst, e.Entity)
	dst = append(dst, `,"row_id":`...)
	dst = message.AppendString(dst, e.RowID)
	dst = append(dst, `,"kind":`...)
	dst = message.AppendString(dst, string(e.Kind))
	if len(e.Data) > 0 && e.Kind != Delete {
		dst = append(dst, `,"data":`...)
		dst = append(dst, e.Data...)
	}
	dst = append(dst, `,"timestamp":`...)
	dst = message.AppendString(dst, e.Timestamp)
	return append(dst, '}')
}

// EncodeChange is the change, which was checked before, as DecodeChange reads it, but for its OpID: what a
// log stores that gives its seqs later.
func EncodeChange(c *Change) []byte {
	dst := make([]byte, 0, len(`{"entity":"","row_id":"","kind":"update","data":,"timestamp":""}`)+
		len(c.Entity)+len(c.RowID)+len(c.Data)+len(c.Timestamp))
	dst = message.AppendString(append(dst, `{"entity":`...), c.Entity)
	dst = message.AppendString(append(dst, `,"row_id":`...), c.RowID)
	dst = message.AppendString(append(dst, `,"kind":`...), string(c.Kind))
	if len(c.Data) > 0 {
		dst = append(append(dst, `,"data":`...), c.Data...)
	}
	dst = message.AppendString(append(dst, `,"timestamp":`...), c.Timestamp)
	switch a := &c.Audience; {
	case len(a.Users) > 0:
		dst = append(dst, `,"audience":{"users":[`...)
		for i, user := range a.Users {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = message.AppendString(dst, user)
		}
		dst = append(dst, `]}`...)
	case a.Tenant != "":
		dst = append(message.AppendString(append(dst, `,"audience":{"tenant":`...), a.Tenant), '}')
	case a.Topic != "":
		dst = append(message.AppendString(append(dst, `,"audience":{"topic":`...), a.Topic), '}')
	}
	return append(dst, '}')
}
