package natsrows

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natstest"
)

// openAt is a store whose rows are all wanted.
func openAt(b *testing.B, c *natstest.Cluster, name string) *Rows {
	s, err := Open(within(b), optionsOf(b, c, name))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	s.Follow(func(*hub.StoredRow) {}, func(_, _ string) bool { return true }, func(_, _ string) {})
	return s
}

// How long a publisher of a row waits, whose own node has a subscriber of it (docs/scaling.md). Three servers sync.
func BenchmarkPut(b *testing.B) {
	for _, servers := range []int{1, 3} {
		c := natstest.Start(b, servers, b.TempDir())
		s := openAt(b, c, "put")
		if _, err := s.Watch(within(b), "E", "r", 0); err != nil {
			b.Fatal(err)
		}
		for _, size := range []int{200, 64 << 10, 16 << 20} {
			b.Run(fmt.Sprintf("servers=%d/bytes=%d", servers, size), func(b *testing.B) {
				row := &hub.StoredRow{Kind: hub.Snapshot, Entity: "E", RowID: "r", Payload: make([]byte, size)}
				var took []time.Duration
				for b.Loop() {
					began := time.Now()
					if err := s.Put(row); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
				b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// What a node keeps that has a subscriber of a row in each bucket.
func BenchmarkWatchAllBuckets(b *testing.B) {
	for b.Loop() {
		s := openAt(b, natstest.Start(b, 1, natstest.InMemory(b)), "all")
		before, began := heap(), time.Now()
		names := make(chan string)
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				for name := range names {
					if _, err := s.Watch(within(b), "E", name, 0); err != nil {
						b.Error(err)
					}
				}
			})
		}
		had := make(map[int]bool)
		for i := 0; len(had) < buckets; i++ {
			name := fmt.Sprint(i)
			if _, bucket := s.address("E", name); !had[bucket] {
				had[bucket] = true
				names <- name
			}
		}
		close(names)
		all.Wait()
		b.ReportMetric(time.Since(began).Seconds(), "s")
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		runtime.KeepAlive(s)
		b.ReportMetric(0, "ns/op")
	}
}

// heap is what is in use of it, and of stacks.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
