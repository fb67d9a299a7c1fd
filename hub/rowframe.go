package hub

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// What ParseRowFrame's errors wrap.
var (
	ErrRowFrameShort = errors.New("row frame ends early")
	ErrRowFrameKind  = errors.New("row frame of an unknown type")
	ErrRowFrameText  = errors.New("row frame with a name that is not UTF-8")
)

// RowFrame is a decoded row frame (docs/protocol.md section 3).
type RowFrame struct {
	Kind    RowKind
	Entity  string
	RowID   string
	Payload []byte // opaque; a view of the frame that was parsed
}

// AppendRowFrame appends the row frame (docs/protocol.md section 3) to dst. It returns dst and a
// *FieldError for a kind that doesn't exist, and for an entity or row id that is over
// 65,535 bytes or not UTF-8. It keeps no argument.
func AppendRowFrame(dst []byte, kind RowKind, entity, rowID string, payload []byte) ([]byte, error) {
	if kind != Snapshot && kind != Incremental {
		return dst, &FieldError{Field: "kind", Message: fmt.Sprintf("0x%02x is neither a snapshot (0x10) nor an update (0x11)", byte(kind))}
	}
	if err := checkName("entity", entity); err != nil {
		return dst, err
	}
	if err := checkName("row_id", rowID); err != nil {
		return dst, err
	}
	dst = append(dst, byte(kind))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(entity)))
	dst = append(dst, entity...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(rowID)))
	dst = append(dst, rowID...)
	return append(dst, payload...), nil
}

// checkName checks what has to fit a row frame's two-byte length, and a text message.
func checkName(field, name string) error {
	if len(name) > math.MaxUint16 {
		return &FieldError{Field: field, Message: fmt.Sprintf("%d bytes, at most %d fit", len(name), math.MaxUint16)}
	}
	if !utf8.ValidString(name) {
		return &FieldError{Field: field, Message: "not UTF-8"}
	}
	return nil
}

// ParseRowFrame decodes a row frame. Its errors wrap ErrRowFrameShort, ErrRowFrameKind
// or ErrRowFrameText. The payload is a view of frame.
func ParseRowFrame(frame []byte) (RowFrame, error) {
	if len(frame) == 0 {
		return RowFrame{}, fmt.Errorf("parsing a row frame's type: %w", ErrRowFrameShort)
	}
	kind := RowKind(frame[0])
	if kind != Snapshot && kind != Incremental {
		return RowFrame{}, fmt.Errorf("parsing a row frame: %w: 0x%02x", ErrRowFrameKind, frame[0])
	}
	entity, rest, err := cutName("entity", frame[1:])
	if err != nil {
		return RowFrame{}, err
	}
	rowID, payload, err := cutName("row id", rest)
	if err != nil {
		return RowFrame{}, err
	}
	return RowFrame{Kind: kind, Entity: entity, RowID: rowID, Payload: payload}, nil
}

func cutName(what string, b []byte) (name string, rest []byte, err error) {
	if len(b) < 2 {
		return "", nil, fmt.Errorf("parsing a row frame's %s: %w", what, ErrRowFrameShort)
	}
	length, b := int(binary.BigEndian.Uint16(b)), b[2:]
	if len(b) < length {
		return "", nil, fmt.Errorf("parsing a row frame's %s of %d bytes: %w after %d", what, length, ErrRowFrameShort, len(b))
	}
	if !utf8.Valid(b[:length]) {
		return "", nil, fmt.Errorf("parsing a row frame's %s: %w", what, ErrRowFrameText)
	}
	return string(b[:length]), b[length:], nil
}
