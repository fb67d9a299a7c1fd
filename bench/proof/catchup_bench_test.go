package proof

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
)

// A zone is lost: clients come to one server at once, each with a cursor that is 1,000 changes old (docs/scaling.md).
func BenchmarkCatchUpStorm(b *testing.B) {
	const missed = 1000
	for tail, clients := range map[string]int{"64MiB": 2000, "64KiB": 300} { // all in memory, or read from the file
		b.Run(fmt.Sprintf("tail=%s/clients=%d", tail, clients), func(b *testing.B) {
			d, err := newNode(program, filepath.Join(b.TempDir(), "data"), "-log-tail", tail, "-max-per-ip", "0")
			if err == nil {
				err = d.start(b.Context())
			}
			if err != nil {
				b.Fatal(err)
			}
			defer d.close()
			token, err := d.session(b.Context(), "client")
			if err != nil {
				b.Fatal(err)
			}
			book := newBook(false)
			s := book.add(changes, "e", 1)[0]
			if _, err := d.sendChanges(b.Context(), s, 0, 1, 200); err != nil {
				b.Fatal(err)
			}
			first := s.takeAcks()[0].seq
			if _, err := d.sendChanges(b.Context(), s, 1, missed, 200); err != nil {
				b.Fatal(err)
			}
			var took time.Duration
			var cpu int64
			for b.Loop() {
				before, err := runner.ProcessTime(d.pid())
				if err != nil {
					b.Fatal(err)
				}
				began := time.Now()
				var wg sync.WaitGroup
				gate := make(chan struct{}, 256)
				for range clients {
					wg.Go(func() {
						gate <- struct{}{}
						p, err := d.connect(b.Context(), caller{token: token, since: first}, book)
						<-gate
						if err != nil {
							b.Error(err)
							return
						}
						defer p.gone()
						if err := p.until(func(a *account) bool { return a.seq >= first+missed }); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
				after, err := runner.ProcessTime(d.pid())
				if err != nil {
					b.Fatal(err)
				}
				took, cpu = took+time.Since(began), cpu+after-before
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "s/storm")
			b.ReportMetric(float64(cpu)/float64(b.N*clients)/1e3, "server-µs/client")
			b.ReportMetric(0, "ns/op")
		})
	}
}
