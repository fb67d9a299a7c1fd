package bench

import "encoding/binary"

// MinSize is the smallest payload in bytes: number, time, and some filling.
const MinSize = 32

// maxSize is the largest payload in bytes that targets take.
const maxSize = 16 << 20

// putStamp writes the head of a payload: its sequence number and when it was published,
// or in runs at a rate when it should have been, in ns of now.
func putStamp(payload []byte, seq uint64, published int64) {
	binary.BigEndian.PutUint64(payload, seq)
	binary.BigEndian.PutUint64(payload[8:], uint64(published))
}

func readStamp(payload []byte) (seq uint64, published int64) {
	return binary.BigEndian.Uint64(payload), int64(binary.BigEndian.Uint64(payload[8:]))
}
