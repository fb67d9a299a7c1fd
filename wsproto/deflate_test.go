package wsproto

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/klauspost/compress/flate"
)

// unpack reads a compressed server frame with gobwas' client side, which inflates with the
// standard library.
func unpack(t testing.TB, wire []byte) ws.Frame {
	t.Helper()
	stream := bytes.NewReader(wire)
	f, err := ws.ReadFrame(stream)
	if err != nil || stream.Len() > 0 || !f.Header.Fin || f.Header.Masked || f.Header.Rsv != ws.Rsv(true, false, false) {
		t.Fatalf("%+v, %d bytes left, %v", f.Header, stream.Len(), err)
	}
	if f, err = wsflate.DecompressFrame(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// RFC 7692 7.2.1, with payloads around each size of the header, before and after.
func TestDeflateFrame(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, size := range []int{200, 256, 500, 4096, 65535, 65536, 300_000} {
		for _, op := range []ws.OpCode{ws.OpText, ws.OpBinary} {
			payload := changeEvent(random, size)
			wire := DeflateFrame(op, payload)
			if f := unpack(t, wire); f.Header.OpCode != op || !bytes.Equal(f.Payload, payload) {
				t.Errorf("%d bytes came out as %d, opcode %v", len(payload), len(f.Payload), f.Header.OpCode)
			}
			if len(wire) >= len(AppendFrame(nil, op, payload)) || len(wire) != cap(wire) {
				t.Errorf("%d bytes became %d, with room for %d", len(payload), len(wire), cap(wire))
			}
		}
	}
}

// What doesn't shrink goes out as it is.
func TestDeflateFrameGivesUp(t *testing.T) {
	noise := make([]byte, 100_000)
	random := rand.New(rand.NewPCG(9, 9))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for _, payload := range [][]byte{nil, []byte("a"), noise[:300], noise} {
		if wire := DeflateFrame(ws.OpBinary, payload); wire != nil {
			t.Errorf("%d bytes became %d", len(payload), len(wire))
		}
	}
	again := []byte(strings.Repeat("again ", 100))
	if f := unpack(t, DeflateFrame(ws.OpText, again)); !bytes.Equal(f.Payload, again) {
		t.Error("after giving up the next message was spoilt")
	}
}

// RFC 7692 7.1.1.1: nothing of an earlier message is needed, whatever the compressor did
// before, and on however many goroutines.
func TestDeflateFramesStandAlone(t *testing.T) {
	event := changeEvent(rand.New(rand.NewPCG(1, 1)), 1000)
	want := hex.EncodeToString(DeflateFrame(ws.OpText, event))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 2))
			for range 15 {
				DeflateFrame(ws.OpText, changeEvent(random, random.IntN(5000)))
				wire := DeflateFrame(ws.OpText, event)
				if f := unpack(t, wire); !bytes.Equal(f.Payload, event) {
					t.Error("spoilt")
				}
				if got := hex.EncodeToString(wire); got != want {
					t.Error("the same message was compressed otherwise")
				}
			}
		})
	}
	wg.Wait()
}

// RFC 7692: gobwas' client side is understood.
func TestReadsGobwasCompressed(t *testing.T) {
	for _, size := range []int{0, 1, 100, 5000, 65536} {
		text := []byte(strings.Repeat("x é", size))
		f, err := wsflate.CompressFrame(ws.NewTextFrame(text))
		if err != nil {
			t.Fatal(err)
		}
		var stream bytes.Buffer
		if err := ws.WriteFrame(&stream, ws.MaskFrameWith(f, testMask)); err != nil {
			t.Fatal(err)
		}
		expectInflated(t, stream.Bytes(), 1<<20, 1<<20, []string{event(ws.OpText, string(text)), atRest})
	}
}

// BenchmarkDeflateLevels is what deflateLevel was chosen by: change events at the
// compressor's levels.
func BenchmarkDeflateLevels(b *testing.B) {
	for _, size := range []int{128, 256, 1 << 10, 4 << 10, 64 << 10} {
		random := rand.New(rand.NewPCG(1, 2))
		events := make([][]byte, 50)
		for i := range events {
			events[i] = changeEvent(random, size)
		}
		for _, level := range []int{flate.HuffmanOnly, 1, 2, 3, 5, 6, 9} {
			b.Run(fmt.Sprintf("size=%d/level=%d", size, level), func(b *testing.B) {
				var out bytes.Buffer
				w, err := flate.NewWriter(&out, level)
				if err != nil {
					b.Fatal(err)
				}
				before, after := 0, 0
				for i := 0; b.Loop(); i++ {
					e := events[i%len(events)]
					out.Reset()
					w.Reset(&out)
					_, _ = w.Write(e)
					_ = w.Flush()
					before, after = before+len(e), after+out.Len()-len(deflateTail)
				}
				b.ReportMetric(float64(after)/float64(before), "ratio")
			})
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 64 << 10} {
		text := string(changeEvent(rand.New(rand.NewPCG(3, 4)), size))
		frame := packedFrame(true, ws.OpText, pack(b, text))
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			p := make([]byte, len(frame))
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var d Decoder
				d.AllowDeflate(1 << 20)
				copy(p, frame)
				if _, _, ok, err := d.Decode(p, 1<<20); !ok || err != nil {
					b.Fatal(ok, err)
				}
				d.Release()
			}
		})
	}
}
