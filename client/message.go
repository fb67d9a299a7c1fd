package client

import (
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

// Message is one message. Whoever is handed it owns it.
type Message struct {
	// Type is "change", "row", "resync" or "gap" for what only the server says, "binary" for other binary messages,
	// and else the message's own, such as "topic" and "presence"; "" for what isn't a JSON object with a type.
	Type   string
	Data   []byte // as it came
	Binary bool

	Change *Change // with "change"
	Row    *Row    // with "row"

	seq      uint64
	complete bool
}

// Change is a change event (docs/protocol.md section 3).
type Change struct {
	Seq       uint64          `json:"seq"`
	Entity    string          `json:"entity"`
	RowID     string          `json:"row_id"`
	Kind      string          `json:"kind"` // insert, update or delete
	Data      json.RawMessage `json:"data"`
	Timestamp string          `json:"timestamp"`
}

// Row is a row frame: a full snapshot, or an update to be applied to what came before.
type Row struct {
	Entity, RowID string
	Snapshot      bool
	Payload       []byte
}

// parse tells kinds of messages apart (docs/protocol.md section 3). A change event has no type, and a relay, which has a
// from, is neither that nor a resync. What is absent is nil; type and from aren't even when they are null.
func parse(kind websocket.MessageType, data []byte) Message {
	m := Message{Data: data}
	if kind == websocket.MessageBinary {
		m.Type, m.Binary = "binary", true
		if m.Row = parseRow(data); m.Row != nil {
			m.Type = "row"
		}
		return m
	}
	var is struct {
		Type      json.RawMessage `json:"type"`
		From      json.RawMessage `json:"from"`
		Seq       *uint64         `json:"seq"`
		OldestSeq *uint64         `json:"oldest_seq"`
		Complete  *bool           `json:"complete"`
		Entity    string          `json:"entity"`
		RowID     string          `json:"row_id"`
		Kind      string          `json:"kind"`
		Data      json.RawMessage `json:"data"`
		Timestamp string          `json:"timestamp"`
	}
	err := strictjson.Unmarshal(data, &is)
	if is.Type != nil || is.From != nil || err != nil {
		m.Type = ownType(data)
	}
	switch {
	case err != nil:
	case m.Type == "gap" && len(is.From) > 0 && is.From[0] != '"': // a seq, and no user
		return m
	case is.From != nil:
	case is.Type == nil && is.Seq != nil && is.Entity != "" && is.RowID != "" && slices.Contains(changeKinds, is.Kind):
		m.Type = "change"
		m.Change = &Change{*is.Seq, is.Entity, is.RowID, is.Kind, is.Data, is.Timestamp}
	case m.Type == "resync" && is.Seq != nil && is.OldestSeq != nil:
		m.seq, m.complete = *is.Seq, is.Complete == nil || *is.Complete
		return m
	}
	if m.Change == nil && slices.Contains(servers, m.Type) {
		m.Type = "" // not as the server says it
	}
	return m
}

var (
	changeKinds = []string{"insert", "update", "delete"}
	servers     = []string{"change", "row", "resync", "gap", "binary"}
)

// ownType is a message's own word for what it is. Relays may say anything besides, so this isn't strict.
func ownType(data []byte) string {
	members, name := strictjson.LenientObject(data), ""
	for m, more := members.Next(); more; m, more = members.Next() {
		if string(m.Key()) == "type" {
			name, _ = m.Text()
		}
	}
	if members.Err() != nil {
		return ""
	}
	return name
}

// parseRow reads a row frame: [type u8][entity_len u16][entity][row_id_len u16][row_id][payload]; nil for others.
func parseRow(frame []byte) *Row {
	if len(frame) == 0 || frame[0] != 0x10 && frame[0] != 0x11 {
		return nil
	}
	rest, ok := frame[1:], true
	name := func() string {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			ok = false
			return ""
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		text := string(rest[2:end])
		rest = rest[end:]
		return text
	}
	row := &Row{Snapshot: frame[0] == 0x10, Entity: name(), RowID: name()}
	if !ok {
		return nil
	}
	row.Payload = rest
	return row
}
