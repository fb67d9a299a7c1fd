package main

import (
	"encoding/json"

	"github.com/gobwas/ws"
)

// cursor is the seq that a client asks to go on from when it connects again. It is a
// plain value.
type cursor struct {
	seq   uint64
	known bool
}

// see takes a message into account. Change events are the only messages without a type,
// which clients can't have relayed; so nobody can push the cursor ahead.
func (c *cursor) see(op ws.OpCode, message []byte) {
	if op != ws.OpText {
		return
	}
	var m struct {
		Type   *string `json:"type"`
		Seq    *uint64 `json:"seq"`
		Entity string  `json:"entity"`
	}
	if json.Unmarshal(message, &m) != nil || m.Seq == nil {
		return
	}
	switch {
	case m.Type == nil && m.Entity != "" && (!c.known || *m.Seq > c.seq):
		*c = cursor{*m.Seq, true}
	case m.Type != nil && *m.Type == "resync":
		// The log doesn't reach back, or has begun anew: what follows is live from here.
		*c = cursor{*m.Seq, true}
	}
}
