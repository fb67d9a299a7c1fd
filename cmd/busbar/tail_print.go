package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/busbar-ws/busbar/client"
	"github.com/busbar-ws/busbar/hub"
)

// print writes one message as one line.
func (t *tailer) print(m client.Message) error {
	line := ""
	switch {
	case !m.Binary:
		line = textLine(m.Data)
	case t.json:
		line = binaryJSON(m.Data)
	default:
		line = binaryLine(m.Data)
	}
	_, err := fmt.Fprintln(t.s.out, line)
	return err
}

// textLine is a text message on one line and without control characters, which other
// clients may have put into it for the terminal's sake. JSON stays the same JSON: a raw
// line break can only be space in it, and any other such character can only be in a
// string, where the escape means the same (RFC 8259 sections 2 and 7).
func textLine(message []byte) string {
	text := string(message)
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n', r == '\r', r == '\t':
			b.WriteByte(' ')
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// rowKinds are the words for row frames' types.
var rowKinds = map[hub.RowKind]string{hub.Snapshot: "snapshot", hub.Incremental: "update"}

// binaryLine describes a binary message. That one is a row frame is told by its form
// alone; a broadcast may have the same.
func binaryLine(message []byte) string {
	frame, err := hub.ParseRowFrame(message)
	if err != nil {
		return fmt.Sprintf("binary %d bytes %s", len(message), excerpt(message))
	}
	name := frame.Entity + "/" + frame.RowID
	if strings.ContainsFunc(name, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }) {
		name = strconv.Quote(name)
	}
	return fmt.Sprintf("row %s %s %d bytes %s", name, rowKinds[frame.Kind], len(frame.Payload), excerpt(frame.Payload))
}

// maxExcerpt is how many bytes of a binary message are shown.
const maxExcerpt = 64

// excerpt is the beginning of a payload, quoted.
func excerpt(payload []byte) string {
	if len(payload) > maxExcerpt {
		return strconv.Quote(string(payload[:maxExcerpt])) + "…"
	}
	return strconv.Quote(string(payload))
}

// binaryJSON is a binary message as a JSON object whose type is "row" or "binary".
func binaryJSON(message []byte) string {
	object := struct {
		Type    string `json:"type"`
		Entity  string `json:"entity,omitempty"`
		RowID   string `json:"row_id,omitempty"`
		Kind    string `json:"kind,omitempty"`
		Payload []byte `json:"payload"`
	}{Type: "binary", Payload: message}
	if frame, err := hub.ParseRowFrame(message); err == nil {
		object.Type, object.Payload = "row", frame.Payload
		object.Entity, object.RowID, object.Kind = frame.Entity, frame.RowID, rowKinds[frame.Kind]
	}
	if object.Payload == nil {
		object.Payload = []byte{} // "" and not null
	}
	b, _ := json.Marshal(object) // strings and bytes alone: can't fail
	return string(b)
}
