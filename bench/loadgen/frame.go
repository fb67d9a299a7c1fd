package loadgen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes (RFC 6455 5.2).
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// maxFrame bounds a payload that a client takes, in bytes.
const maxFrame = 2 * MaxSize

var errFrame = errors.New("not a frame that a server may send")

// frame is a frame that has arrived to its last byte.
type frame struct {
	op      byte
	payload []byte // valid until the next read
}

// headerSize is the size of a header from its second byte.
func headerSize(second byte) int {
	switch second {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// payloadSize reads the length from a whole header.
func payloadSize(b []byte) uint64 {
	switch b[1] {
	case 126:
		return uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return binary.BigEndian.Uint64(b[2:])
	}
	return uint64(b[1])
}

// checkHeader refuses what a server must not send: reserved bits without an extension,
// masked frames (RFC 6455 5.1), fragmented or too long control frames (5.5). It also
// refuses fragmented messages, which no target sends.
func checkHeader(b []byte) error {
	op := b[0] & 0x0F
	control := op >= opClose
	switch {
	case b[0]&0x80 == 0 || op == 0:
		return fmt.Errorf("%w: it is fragmented", errFrame)
	case b[0]&0x70 != 0 || op > opPong || op > opBinary && !control:
		return fmt.Errorf("%w: it begins with %#02x", errFrame, b[0])
	case b[1]&0x80 != 0:
		return fmt.Errorf("%w: it is masked", errFrame)
	case control && b[1] > 125:
		return fmt.Errorf("%w: a control frame of more than 125 bytes", errFrame)
	}
	return nil
}

// nextFrame takes a frame from the front of b. ok is false when b ends before the frame does.
func nextFrame(b []byte) (f frame, rest []byte, ok bool, err error) {
	if len(b) < 2 {
		return frame{}, b, false, nil
	}
	if err := checkHeader(b); err != nil {
		return frame{}, nil, false, err
	}
	start := headerSize(b[1])
	if len(b) < start {
		return frame{}, b, false, nil
	}
	size := payloadSize(b)
	if size > maxFrame {
		return frame{}, nil, false, fmt.Errorf("%w: %d bytes", errFrame, size)
	}
	end := start + int(size)
	if len(b) < end {
		return frame{}, b, false, nil
	}
	return frame{op: b[0] & 0x0F, payload: b[start:end]}, b[end:], true, nil
}

// appendPong appends the answer to a ping. Clients must mask (RFC 6455 5.3); a key of
// zeros is a mask that costs nothing.
func appendPong(b, payload []byte) []byte {
	b = append(b, 0x80|opPong, 0x80|byte(len(payload)), 0, 0, 0, 0)
	return append(b, payload...)
}

// One key for all clients: the answer to it is known, and a server can't tell.
const (
	upgradeKey    = "dGhlIHNhbXBsZSBub25jZQ=="     // the example of RFC 6455 1.3
	upgradeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // and its answer
)

// maxResponse bounds a server's answer to the upgrade, in bytes.
const maxResponse = 4096

var errUpgrade = errors.New("the upgrade was refused")

// withCursor ends the target of a client that wants to be told of what it loses (Busbar's since); other servers
// don't look at the query.
const withCursor = "?since=0"

func upgradeRequest(host, target, token string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", target, host, upgradeKey)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// checkUpgrade reads the answer. size is 0 while it isn't complete; what lies behind it
// are frames.
func checkUpgrade(b []byte) (size int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxResponse {
			return 0, fmt.Errorf("%w: no end of the header in %d bytes", errUpgrade, len(b))
		}
		return 0, nil
	}
	status, fields, _ := bytes.Cut(b[:end], []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 101")) {
		return 0, fmt.Errorf("%w: %.80s", errUpgrade, status)
	}
	for line := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Sec-WebSocket-Accept")) && string(bytes.TrimSpace(value)) == upgradeAccept {
			return end + 4, nil
		}
	}
	return 0, fmt.Errorf("%w: the key wasn't answered (RFC 6455 4.1)", errUpgrade)
}
