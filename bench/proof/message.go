package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"sync"

	"github.com/busbar-ws/busbar/hub"
)

// note is what a message of a stream says about itself. In JSON it is
// {"s":"e0","n":17,"c":CRC,"pad":"…"}, in bytes number, CRC and padding behind the stream's
// place, which the frame has. It is looked for and not parsed: a client that takes 1 MiB of
// JSON apart would be what is measured.
type note struct {
	stream string
	n      uint64
}

var errDamaged = errors.New("the message isn't as it was sent")

// padding is what messages are filled with. It is made when it is needed: the targets of
// other scenarios are measured in this program too, and their collector would count it.
var padding = sync.OnceValue(func() []byte {
	return bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog. "), (1<<20)/45+1)
})

// jsonNote is about size bytes of JSON, without the braces.
func jsonNote(s string, n uint64, size int) string {
	pad := padding()[:max(0, size-60)]
	return fmt.Sprintf(`"s":%q,"n":%d,"c":%d,"pad":"%s"`, s, n, crc32.ChecksumIEEE(pad), pad)
}

func readJSONNote(b []byte) (note, error) {
	name, ok := cut(b, `"s":"`, '"')
	n, errN := number(b, `"n":`)
	sum, errSum := number(b, `"c":`)
	pad, ok2 := cut(b, `"pad":"`, '"')
	if !ok || !ok2 || errN != nil || errSum != nil || crc32.ChecksumIEEE(pad) != uint32(sum) {
		return note{}, fmt.Errorf("%w: %.120q", errDamaged, b)
	}
	return note{string(name), n}, nil
}

func cut(b []byte, before string, end byte) ([]byte, bool) {
	_, rest, ok := bytes.Cut(b, []byte(before))
	if i := bytes.IndexByte(rest, end); ok && i >= 0 {
		return rest[:i], true
	}
	return nil, false
}

func number(b []byte, key string) (uint64, error) {
	_, rest, _ := bytes.Cut(b, []byte(key))
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	return strconv.ParseUint(string(rest[:end]), 10, 64)
}

// byteNote is a note in at least 10 bytes: the last of 1 MiB are what a damage would hit.
func byteNote(n uint64, size int) []byte {
	b := make([]byte, max(size, 10))
	b[0] = 'b' // no row frame begins so
	binary.BigEndian.PutUint32(b[1:], uint32(n))
	copy(b[9:], padding())
	binary.BigEndian.PutUint32(b[5:], crc32.ChecksumIEEE(b[9:]))
	return b
}

func readByteNote(b []byte, stream string) (note, error) {
	if len(b) < 10 || binary.BigEndian.Uint32(b[5:]) != crc32.ChecksumIEEE(b[9:]) {
		return note{}, fmt.Errorf("%w: %d bytes, %.32x", errDamaged, len(b), b)
	}
	return note{stream, uint64(binary.BigEndian.Uint32(b[1:]))}, nil
}

// binaryStream is the name of the one stream of broadcasts.
const binaryStream = "b0"

// readBinary reads a row frame or a broadcast.
func readBinary(b []byte) (note, bool, error) {
	if len(b) > 0 && b[0] == 'b' {
		m, err := readByteNote(b, binaryStream)
		return m, false, err
	}
	f, err := hub.ParseRowFrame(b)
	if err != nil {
		return note{}, false, fmt.Errorf("%w: %w", errDamaged, err)
	}
	m, err := readByteNote(f.Payload, f.RowID)
	return m, f.Kind == hub.Snapshot, err
}
