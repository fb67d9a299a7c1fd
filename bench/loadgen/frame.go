package loadgen

import (
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

// headSize is how much of a payload is kept while a frame arrives in pieces: all of a
// control frame (RFC 6455 5.5), and more of a message than is looked at.
const headSize = 125

// maxHeader is the longest header of a frame from a server, which has no mask.
const maxHeader = 10

// maxFrame bounds a payload that a client takes, in bytes.
const maxFrame = 1 << 30

var errFrame = errors.New("not a frame that a server may send")

// frame is a frame that has arrived to its last byte.
type frame struct {
	op   byte
	size int    // of the payload
	head []byte // its first headSize bytes, valid until the next frame is read
}

// partial is the start of a frame whose rest hasn't arrived.
type partial struct {
	bytes   [maxHeader + headSize]byte // header and head
	held    int                        // bytes there are of it
	skipped int                        // bytes of the payload that came behind the head
	free    *partial
}

// partials hands out memory for frames in pieces; few clients have one at a time. Owned
// by one swarm.
type partials struct{ free *partial }

func (ps *partials) get() *partial {
	p := ps.free
	if p == nil {
		return new(partial)
	}
	ps.free = p.free
	*p = partial{}
	return p
}

func (ps *partials) put(p *partial) { p.free, ps.free = ps.free, p }

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

// nextFrame takes a frame from the front of b, which continues where the bytes of the
// call before ended; *kept is what it remembers in between. ok is false when b ended
// before the frame did: then all of b is used up.
func (ps *partials) nextFrame(kept **partial, b []byte) (f frame, rest []byte, ok bool, err error) {
	if *kept != nil || len(b) < 2 || len(b) < headerSize(b[1]&0x7F) {
		return ps.resume(kept, b)
	}
	if err := checkHeader(b); err != nil {
		return frame{}, nil, false, err
	}
	start, size := headerSize(b[1]), payloadSize(b)
	if size > maxFrame {
		return frame{}, nil, false, fmt.Errorf("%w: %d bytes", errFrame, size)
	}
	end := start + int(size)
	if len(b) < end {
		return ps.resume(kept, b)
	}
	return frame{op: b[0] & 0x0F, size: int(size), head: b[start:min(end, start+headSize)]}, b[end:], true, nil
}

func (ps *partials) resume(kept **partial, b []byte) (f frame, rest []byte, ok bool, err error) {
	if *kept == nil {
		*kept = ps.get()
	}
	p := *kept
	if b, err = p.fill(b); err != nil || b == nil {
		return frame{}, nil, false, err
	}
	start, size := headerSize(p.bytes[1]), int(payloadSize(p.bytes[:]))
	head := min(size, headSize)
	take := min(len(b), size-head-p.skipped)
	p.skipped += take
	if head+p.skipped < size {
		return frame{}, nil, false, nil
	}
	*kept = nil
	ps.put(p)
	return frame{op: p.bytes[0] & 0x0F, size: size, head: p.bytes[start : start+head]}, b[take:], true, nil
}

// fill completes header and head and returns what of b lies behind them; nil when they
// aren't complete.
func (p *partial) fill(b []byte) ([]byte, error) {
	for {
		wanted, err := p.wanted()
		if err != nil {
			return nil, err
		}
		if p.held == wanted {
			return b, nil
		}
		n := copy(p.bytes[p.held:wanted], b)
		p.held += n
		b = b[n:]
		if p.held < wanted {
			return nil, nil
		}
	}
}

// wanted is how many bytes of header and head there must be, as far as is known.
func (p *partial) wanted() (int, error) {
	if p.held < 2 {
		return 2, nil
	}
	if err := checkHeader(p.bytes[:]); err != nil {
		return 0, err
	}
	start := headerSize(p.bytes[1])
	if p.held < start {
		return start, nil
	}
	size := payloadSize(p.bytes[:])
	if size > maxFrame {
		return 0, fmt.Errorf("%w: %d bytes", errFrame, size)
	}
	return start + min(int(size), headSize), nil
}

// appendPong appends the answer to a ping. Clients must mask (RFC 6455 5.3); a key of
// zeros is a mask that costs nothing.
func appendPong(b, payload []byte) []byte {
	b = append(b, 0x80|opPong, 0x80|byte(len(payload)), 0, 0, 0, 0)
	return append(b, payload...)
}
