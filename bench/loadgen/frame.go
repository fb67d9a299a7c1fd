package loadgen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gobwas/ws"
)

// maxFrame bounds a payload that a client takes, in bytes.
const maxFrame = 2 * MaxSize

var errFrame = errors.New("not a frame that a server may send")

// frame is a frame that has arrived to its last byte.
type frame struct {
	op      ws.OpCode
	payload []byte // valid until the next read
}

// nextFrame takes a frame from the front of b. ok is false when b ends before the frame does. Fragmented messages are
// refused: no target sends any.
func nextFrame(b []byte) (f frame, rest []byte, ok bool, err error) {
	if len(b) < 2 {
		return frame{}, b, false, nil
	}
	start, size := 2, uint64(b[1]&0x7F)
	if b[0] != 0x80|byte(ws.OpBinary) || b[1] > 125 { // else there is nothing to object to
		h := ws.Header{Fin: true, Rsv: b[0] >> 4 & 7, OpCode: ws.OpCode(b[0] & 0x0F), Masked: b[1]&0x80 != 0, Length: int64(size)}
		if err := ws.CheckHeader(h, ws.StateClientSide); err != nil {
			return frame{}, nil, false, fmt.Errorf("%w: %w", errFrame, err)
		}
		if b[0]&0x80 == 0 {
			return frame{}, nil, false, fmt.Errorf("%w: it is fragmented", errFrame)
		}
	}
	switch {
	case size == 126 && len(b) >= 4:
		start, size = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case size == 127 && len(b) >= 10:
		start, size = 10, binary.BigEndian.Uint64(b[2:])
	case size >= 126:
		return frame{}, b, false, nil
	}
	if size > maxFrame {
		return frame{}, nil, false, fmt.Errorf("%w: %d bytes", errFrame, size)
	}
	end := start + int(size)
	if len(b) < end {
		return frame{}, b, false, nil
	}
	return frame{op: ws.OpCode(b[0] & 0x0F), payload: b[start:end]}, b[end:], true, nil
}

// masked is a frame as clients must send it (RFC 6455 5.3); a key of zeros is a mask that costs servers nothing.
func masked(f ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrameWith(f, [4]byte{})) }

// One key for all clients: the answer to it is known, and a server can't tell.
const (
	upgradeKey    = "dGhlIHNhbXBsZSBub25jZQ=="     // the example of RFC 6455 1.3
	upgradeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // and its answer
)

// maxResponse bounds a server's answer to the upgrade, in bytes.
const maxResponse = 4096

var errUpgrade = errors.New("the upgrade was refused")

func upgradeRequest(host, target, token string) []byte {
	b := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", target, host, upgradeKey)
	if token != "" {
		b = fmt.Appendf(b, "Authorization: Bearer %s\r\n", token)
	}
	return append(b, "\r\n"...)
}

// checkUpgrade reads the answer. size is 0 while it isn't complete; what lies behind it
// are frames.
func checkUpgrade(b []byte) (size int, err error) {
	head, _, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	switch {
	case !whole && len(b) > maxResponse:
		return 0, fmt.Errorf("%w: no end of the header in %d bytes", errUpgrade, len(b))
	case !whole:
		return 0, nil
	case !bytes.HasPrefix(head, []byte("HTTP/1.1 101")):
		return 0, fmt.Errorf("%w: %.80s", errUpgrade, head)
	case !bytes.Contains(head, []byte(upgradeAccept)):
		return 0, fmt.Errorf("%w: the key wasn't answered (RFC 6455 4.1)", errUpgrade)
	}
	return len(head) + 4, nil
}
