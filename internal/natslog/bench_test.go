package natslog

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/nats-io/nats.go"
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

// What republishing to many nodes costs a NATS server (docs/scaling.md). A node is a connection with a subscription.
func BenchmarkRepublish(b *testing.B) {
	for _, nodes := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			c := natstest.Start(b, 1, natstest.InMemory(b))
			l := open(b, options(b, c, 0))
			follow(l)
			var came atomic.Int64
			for range nodes - 1 {
				conn := connectNode(b, c)
				if _, err := conn.Subscribe(l.feedSubject(), func(*nats.Msg) { came.Add(1) }); err != nil || conn.Flush() != nil {
					b.Fatal(err)
				}
			}
			changes := slices.Repeat([]hub.Change{changeOf("r")}, 100)
			before := processTime(b, c)
			for b.Loop() {
				mustAppend(b, l, changes...)
			}
			wstest.Eventually(b, "all came to all", func() bool { return came.Load() == int64(b.N*len(changes)*(nodes-1)) })
			b.ReportMetric(float64(processTime(b, c)-before)/float64(b.N*len(changes))/1e3, "server-µs/change")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// What the interest of 100 nodes in 4,096 buckets of rows costs each server of a NATS cluster.
func BenchmarkInterest(b *testing.B) {
	const nodes, buckets = 100, 4096
	for b.Loop() {
		c := natstest.Start(b, 3, natstest.InMemory(b))
		open(b, options(b, c, 0))
		before := resident(b, c)
		began := time.Now()
		for i := range nodes {
			conn := connectNode(b, c)
			for bucket := range buckets {
				if _, err := conn.Subscribe(fmt.Sprintf("busbar.rows.%d", bucket), func(*nats.Msg) {}); err != nil {
					b.Fatal(err)
				}
			}
			if err := conn.FlushTimeout(wstest.Patience); err != nil {
				b.Fatal(i, err)
			}
		}
		b.ReportMetric(time.Since(began).Seconds()/nodes*1e3, "ms/node")
		for i, now := range resident(b, c) {
			b.ReportMetric(float64(now-before[i])/(1<<20), fmt.Sprintf("MiB-server%d", i))
		}
	}
}

func connectNode(b *testing.B, c *natstest.Cluster) *nats.Conn {
	conn, err := nats.Connect(c.Servers(0))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	return conn
}

func processTime(b *testing.B, c *natstest.Cluster) int64 {
	ns, err := runner.ProcessTime(c.Nodes[0].PID())
	if err != nil {
		b.Fatal(err)
	}
	return ns
}

func resident(b *testing.B, c *natstest.Cluster) (bytes []int) {
	for _, n := range c.Nodes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.PID()))
		var size, pages int
		if _, e := fmt.Sscan(string(text), &size, &pages); err != nil || e != nil {
			b.Fatal(err, e)
		}
		bytes = append(bytes, pages*os.Getpagesize())
	}
	return bytes
}
