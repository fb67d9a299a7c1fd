package natslog

import (
	"fmt"
	"slices"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natstest"
)

func BenchmarkAppend(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		c := natstest.Start(b, nodes, b.TempDir())
		l := open(b, options(b, c, 0))
		follow(l)
		for _, n := range []int{1, 10, 100, 1000} {
			changes := slices.Repeat([]hub.Change{changeOf("r")}, n)
			b.Run(fmt.Sprintf("nodes=%d/n=%d", nodes, n), func(b *testing.B) {
				for b.Loop() {
					mustAppend(b, l, changes...)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/change")
			})
		}
		b.Run(fmt.Sprintf("nodes=%d/parallel", nodes), func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mustAppend(b, l, changeOf("r"))
				}
			})
		})
	}
}
