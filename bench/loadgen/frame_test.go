package loadgen

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gobwas/ws"
)

type seenFrame struct {
	op      byte
	payload string
}

// framesOf reads frames from pieces.
func framesOf(t *testing.T, pieces ...[]byte) (frames []seenFrame, kept bool) {
	t.Helper()
	var have []byte
	for _, b := range pieces {
		have = append(have, b...)
		for {
			f, rest, ok, err := nextFrame(have)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			frames = append(frames, seenFrame{byte(f.op), string(f.payload)})
			have = rest
		}
	}
	return frames, len(have) > 0
}

func payloadOf(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// mixture is frames of all forms of length, encoded by a library that isn't ours.
func mixture() (wire []byte, want []seenFrame) {
	for _, f := range []ws.Frame{
		ws.NewBinaryFrame(payloadOf(32)), ws.NewPingFrame([]byte("are you there")), ws.NewTextFrame([]byte("{}")),
		ws.NewBinaryFrame(payloadOf(125)), ws.NewBinaryFrame(payloadOf(126)), ws.NewPongFrame(nil),
		ws.NewBinaryFrame(payloadOf(1000)), ws.NewBinaryFrame(payloadOf(1 << 16)), ws.NewBinaryFrame(nil),
		ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "bye")),
	} {
		wire = append(wire, ws.MustCompileFrame(f)...)
		want = append(want, seenFrame{byte(f.Header.OpCode), string(f.Payload)})
	}
	return wire, want
}

func checkFrames(t *testing.T, got, want []seenFrame) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d frames, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("frame %d: %.80v, want %.80v", i, got[i], want[i])
		}
	}
}

func TestFramesInOnePiece(t *testing.T) {
	wire, want := mixture()
	got, kept := framesOf(t, wire)
	checkFrames(t, got, want)
	if kept {
		t.Error("something is kept behind the last frame")
	}
}

func TestFramesInPiecesOfEverySize(t *testing.T) {
	wire, want := mixture()
	for _, size := range []int{1, 2, 3, 7, 64, 134, 135, 136, 1000, 65537} {
		var pieces [][]byte
		for at := 0; at < len(wire); at += size {
			pieces = append(pieces, wire[at:min(at+size, len(wire))])
		}
		got, kept := framesOf(t, pieces...)
		checkFrames(t, got, want)
		if kept {
			t.Errorf("pieces of %d: something is kept behind the last frame", size)
		}
	}
}

func TestFramesCutAnywhere(t *testing.T) {
	wire, want := mixture()
	for cut := range 2000 {
		got, _ := framesOf(t, wire[:cut], wire[cut:])
		checkFrames(t, got, want)
	}
}

func TestFramesThatNoServerMaySend(t *testing.T) {
	tests := map[string][]byte{
		"masked":                 {0x82, 0x81, 0, 0, 0, 0, 1},
		"fragmented":             {0x02, 0x01, 1},
		"continuation":           {0x80, 0x01, 1},
		"reserved bit":           {0xC2, 0x01, 1},
		"unknown opcode":         {0x83, 0x01, 1},
		"unknown control opcode": {0x8B, 0x01, 1},
		"long control frame":     {0x89, 126, 0, 200, 1},
		"absurd length":          {0x82, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1},
	}
	for name, wire := range tests {
		t.Run(name, func(t *testing.T) {
			for cut := 1; cut <= len(wire); cut++ {
				_, _, _, err := nextFrame(wire[:cut])
				if err == nil && cut < len(wire) {
					_, _, _, err = nextFrame(wire)
				}
				if !errors.Is(err, errFrame) {
					t.Errorf("cut at %d: error %v", cut, err)
				}
			}
		})
	}
}

func TestPongsCanBeReadByOthers(t *testing.T) {
	wire := masked(ws.NewPongFrame([]byte("payload")))
	f, err := ws.ReadFrame(bytes.NewReader(wire))
	if err != nil {
		t.Fatal(err)
	}
	if f = ws.UnmaskFrame(f); f.Header.OpCode != ws.OpPong || !f.Header.Fin || string(f.Payload) != "payload" {
		t.Errorf("%+v", f)
	}
}
