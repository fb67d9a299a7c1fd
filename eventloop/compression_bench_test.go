package eventloop

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
)

// BenchmarkPublishCompressed is one message to 1,000 clients that all take it compressed, or
// none. CPU is the whole process': publishing, compressing, sending, and the clients'
// reading, which inflate nothing.
func BenchmarkPublishCompressed(b *testing.B) {
	const clients = 1000
	for _, size := range []int{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10} {
		for _, c := range []struct {
			name    string
			request func(string) string
		}{{"off", request}, {"on", requestDeflate}} {
			b.Run(fmt.Sprintf("size=%d/compression=%s", size, c.name), func(b *testing.B) {
				e := start(b, &host{}, compressing)
				m := meteredBy(b, e, clients, c.request)
				payloads := make([][]byte, 32)
				random := rand.New(rand.NewPCG(1, 2))
				for i := range payloads {
					payloads[i] = like(random, i, size).Payload()
				}
				bytes, before := 0, processCPU(b)
				for i := 0; b.Loop(); i++ {
					f := NewFrame(ws.OpText, payloads[i%len(payloads)])
					e.Publish(f, nil)
					wire := f.Wire()
					if c.name == "on" {
						wire = f.In(delivery.Deflated)
					}
					bytes += len(wire)
					m.expect(b, clients*len(wire))
				}
				b.ReportMetric(float64(processCPU(b)-before)/float64(b.N*clients), "cpu-ns/delivery")
				b.ReportMetric(float64(bytes)/float64(b.N), "bytes/delivery")
			})
		}
	}
}

// processCPU is what the process has used so far, in nanoseconds.
func processCPU(b *testing.B) int64 {
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}
