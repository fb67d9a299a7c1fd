package eventloop

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/mailbox"
	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// BenchmarkPublish is one message to all clients, until all have it. The clients are in
// the same process: what they cost is in the time.
func BenchmarkPublish(b *testing.B) { benchmarkPublish(b, nil) }

// BenchmarkPublishToTenant is the same to those without a tenant, which all are.
func BenchmarkPublishToTenant(b *testing.B) { benchmarkPublish(b, ofTenant("")) }

func benchmarkPublish(b *testing.B, to *Audience) {
	for _, clients := range []int{100, 1000} {
		for _, burst := range []int{1, 16} {
			b.Run(fmt.Sprintf("clients=%d/burst=%d", clients, burst), func(b *testing.B) {
				e := start(b, &host{})
				m := metered(b, e, clients)
				frame := NewFrame(ws.OpText, make([]byte, 200))
				b.ReportAllocs()
				sends := sent(e)
				for b.Loop() {
					for range burst {
						e.Publish(frame, to)
					}
					m.expect(b, burst*clients*frame.Size())
				}
				deliveries := float64(b.N * burst * clients)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
				b.ReportMetric(float64(sent(e)-sends)/deliveries, "sends/delivery")
			})
		}
	}
}

func sent(e *Engine) (n uint64) {
	for _, l := range e.Stats().Loops {
		n += l.Sends
	}
	return n
}

// BenchmarkHandshake is a client that connects, is upgraded and resets the connection.
func BenchmarkHandshake(b *testing.B) {
	e := start(b, &host{})
	ask := []byte(wstest.Request("/"))
	answer := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		conn, err := net.Dial("tcp", e.Addr().String())
		must(b, err)
		_, err = conn.Write(ask)
		must(b, err)
		n, err := conn.Read(answer)
		must(b, err)
		if wsproto.HeadEnd(answer[:n]) != n {
			b.Fatalf("got %q", answer[:n])
		}
		must(b, conn.(*net.TCPConn).SetLinger(0))
		conn.Close()
	}
}

// BenchmarkPing is a control frame in and its answer out, a hundred at a time.
func BenchmarkPing(b *testing.B) {
	const each = 100
	e := start(b, &host{})
	p := dial(b, e, "name=x")
	frames := []byte(strings.Repeat(clientFrame(ws.OpPing, "payload8"), each))
	answer := make([]byte, each*(2+8))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Write(frames); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(p.R, answer); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*each), "ns/frame")
}

// BenchmarkMailbox is a publisher's part: one frame into a queue, full or not.
func BenchmarkMailbox(b *testing.B) {
	for name, lossy := range map[string]bool{"lossy": true, "reliable": false} {
		b.Run("full/"+name, func(b *testing.B) {
			box := mailbox.Box[entry]{MaxMessages: 1024, MaxBytes: 64 << 20, Drop: func(entry) {}}
			frame := FrameOf(make([]byte, 200))
			frame.Lossy = lossy
			for range 1024 {
				box.Put(entry{frame: frame}, frame.Size(), frame.Lossy, false)
			}
			b.ReportAllocs()
			for b.Loop() {
				box.Put(entry{frame: frame}, frame.Size(), frame.Lossy, false)
			}
		})
	}
}
