package conformance

import (
	"bytes"
	"compress/flate"
	"io"
)

// inflate undoes RFC 7692 7.2.2 for a message that was compressed on its own.
func inflate(payload string) (string, error) {
	// The four bytes that 7.2.1 takes away, and an empty last block, so that flate sees an end.
	tail := "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	out, err := io.ReadAll(flate.NewReader(bytes.NewReader([]byte(payload + tail))))
	return string(out), err
}

func compressionCases() []conversation { return nil }
