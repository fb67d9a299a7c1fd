package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gobwas/ws"
)

// record is payload as it stands on the control connection.
func record(payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

func TestCut(t *testing.T) {
	stream := append(record([]byte("one")), record(nil)...)
	stream = binary.BigEndian.AppendUint32(stream, lengthStats)
	stream = append(stream, record([]byte("two"))...)

	// However much of the stream has come, what is complete is cut off, and no more.
	for come := range len(stream) + 1 {
		rest, got := stream[:come], ""
		for {
			payload, isStats, after, err := cut(rest)
			if errors.Is(err, errShort) {
				break
			}
			if err != nil {
				t.Fatalf("after %d bytes: %v", come, err)
			}
			rest = after
			got += "(" + string(payload) + ")"
			if isStats {
				got += "?"
			}
		}
		want := map[bool]string{come >= 7: "(one)"}[true] + map[bool]string{come >= 11: "()"}[true] +
			map[bool]string{come >= 15: "()?"}[true] + map[bool]string{come >= 22: "(two)"}[true]
		if got != want {
			t.Errorf("after %d bytes: got %s, want %s", come, got, want)
		}
	}
}

func TestCutRefuses(t *testing.T) {
	for n, want := range map[uint32]error{
		lengthReserved: errReserved,
		maxRecord + 1:  errTooLong,
		0xFFFFFFFF:     errTooLong,
	} {
		if _, _, _, err := cut(binary.BigEndian.AppendUint32(nil, n)); !errors.Is(err, want) {
			t.Errorf("length %#x: got %v, want %v", n, err, want)
		}
	}
}

func TestFrameIsWhatOthersRead(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 125, 126, 127, 0xFFFF, 0x10000}
	for _, n := range sizes {
		stream = appendFrame(stream, bytes.Repeat([]byte{byte(n)}, n))
	}
	in := bytes.NewReader(stream)
	for _, n := range sizes {
		frame, err := ws.ReadFrame(in)
		if err != nil {
			t.Fatalf("reading the frame of %d bytes: %v", n, err)
		}
		if !frame.Header.Fin || frame.Header.Masked || frame.Header.OpCode != ws.OpBinary {
			t.Errorf("frame of %d bytes has the header %+v", n, frame.Header)
		}
		if !bytes.Equal(frame.Payload, bytes.Repeat([]byte{byte(n)}, n)) {
			t.Errorf("frame of %d bytes came with %d others", n, len(frame.Payload))
		}
	}
	if in.Len() > 0 {
		t.Errorf("%d bytes are left over", in.Len())
	}
}

func TestPublishedData(t *testing.T) {
	var pub []byte
	pub = protowire.AppendTag(pub, 6, protowire.VarintType)
	pub = protowire.AppendVarint(pub, 300)
	pub = protowire.AppendTag(pub, publicationData, protowire.BytesType)
	pub = protowire.AppendBytes(pub, []byte("payload"))
	var push []byte
	push = protowire.AppendTag(push, 2, protowire.BytesType)
	push = protowire.AppendString(push, "channel")
	push = protowire.AppendTag(push, pushPub, protowire.BytesType)
	push = protowire.AppendBytes(push, pub)

	data, err := publishedData(push)
	if err != nil || string(data) != "payload" {
		t.Errorf("got %q, %v", data, err)
	}
	for n := range push {
		if _, err := publishedData(push[:n]); !errors.Is(err, errNoPublication) {
			t.Errorf("of the first %d bytes: got %v, want %v", n, err, errNoPublication)
		}
	}
}
