package main

import (
	"encoding/json"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

// cursor is the seq that a client asks to go on from when it connects again. It is a
// plain value.
type cursor struct {
	seq   uint64
	known bool
}

// told is what of a message may move a cursor. What is absent is nil; type and from aren't even
// when they are null.
type told struct {
	Type      json.RawMessage `json:"type"`
	From      json.RawMessage `json:"from"`
	Seq       *uint64         `json:"seq"`
	OldestSeq *uint64         `json:"oldest_seq"`
	Entity    string          `json:"entity"`
	RowID     string          `json:"row_id"`
	Kind      string          `json:"kind"`
}

// see takes a message into account, if it is one that only the server sends (docs/protocol.md section 3): a
// change event has no type, and a relay, which has a from, is neither that nor a resync.
func (c *cursor) see(op ws.OpCode, message []byte) {
	if op != ws.OpText {
		return
	}
	var m told
	if strictjson.Unmarshal(message, &m) != nil || m.Seq == nil || m.From != nil {
		return
	}
	switch {
	case m.isEvent() && (!c.known || *m.Seq > c.seq):
		*c = cursor{*m.Seq, true}
	case string(m.Type) == `"resync"` && m.OldestSeq != nil:
		// The log doesn't reach back, or has begun anew: what follows is live from here.
		*c = cursor{*m.Seq, true}
	}
}

func (m *told) isEvent() bool {
	return m.Type == nil && m.Entity != "" && m.RowID != "" && (m.Kind == "insert" || m.Kind == "update" || m.Kind == "delete")
}
