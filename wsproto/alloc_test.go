package wsproto

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

var hotFrames = []struct {
	name  string
	frame []byte
}{
	{"ping", clientFrame(true, ws.OpPing, "12345678")},
	{"close", clientFrame(true, ws.OpClose, closePayload(1000, "bye"))},
	{"text of 64 bytes", clientFrame(true, ws.OpText, strings.Repeat("é", 32))},
	{"text of 4 KiB", clientFrame(true, ws.OpText, strings.Repeat("a", 4096))},
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	for _, c := range hotFrames {
		t.Run(c.name, func(t *testing.T) {
			p := make([]byte, len(c.frame))
			allocs := testing.AllocsPerRun(200, func() {
				var d Decoder
				copy(p, c.frame)
				if _, _, ok, err := d.Decode(p, 1<<16); !ok || err != nil {
					t.Fatalf("ok=%t err=%v", ok, err)
				}
			})
			if allocs > 0 {
				t.Errorf("%v allocations for a frame", allocs)
			}
		})
	}
}

func TestViolationDoesNotAllocate(t *testing.T) {
	bad := []byte{0x81, 0x00}
	if allocs := testing.AllocsPerRun(200, func() {
		var d Decoder
		if _, _, _, err := d.Decode(bad, 1<<16); err == nil {
			t.Fatal("no error")
		}
	}); allocs > 0 {
		t.Errorf("%v allocations for a bad frame", allocs)
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	dst, payload := make([]byte, 0, 256), []byte("payload")
	if allocs := testing.AllocsPerRun(200, func() {
		dst = AppendFrame(dst[:0], ws.OpText, payload)
		dst = AppendClose(dst[:0], ws.StatusGoingAway, "draining")
	}); allocs > 0 {
		t.Errorf("%v allocations for two frames", allocs)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range hotFrames {
		b.Run(c.name, func(b *testing.B) {
			p := make([]byte, len(c.frame))
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			var d Decoder
			for b.Loop() {
				copy(p, c.frame)
				if _, _, ok, err := d.Decode(p, 1<<16); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// A message of 4 KiB that comes in two pieces.
func BenchmarkDecodeStraddling(b *testing.B) {
	frame := clientFrame(true, ws.OpText, strings.Repeat("a", 4096))
	b.ReportAllocs()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		var d Decoder
		for _, p := range [][]byte{frame[:1400], frame[1400:]} {
			if _, _, _, err := d.Decode(p, 1<<16); err != nil {
				b.Fatal(err)
			}
		}
		d.Release()
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	payload := []byte(strings.Repeat("a", 256))
	dst := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendFrame(dst[:0], ws.OpText, payload)
	}
}
