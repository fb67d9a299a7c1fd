package subs

import (
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkMemory reports the live bytes of one subscription, with the share of its
// name, its client and everything else in it.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct{ clients, each, names int }{
		{100_000, 15, 1000},    // topics
		{100_000, 15, 100_000}, // rows that some people share
		{1_000_000, 1, 1},      // everybody wants the same
		{100_000, 15, 1_500_000},
	} {
		b.Run(fmt.Sprintf("clients=%d/each=%d/names=%d", c.clients, c.each, c.names), func(b *testing.B) {
			names := make([]string, c.names)
			for i := range names {
				names[i] = fmt.Sprintf("Todo/t_%08d", i)
			}
			for b.Loop() {
				before := live()
				x := NewIndex(NewTable(1), 0)
				for i := range c.clients * c.each {
					x.Subscribe(uint32(i/c.each), names[i*7919%c.names])
				}
				b.ReportMetric(float64(live()-before)/float64(x.Count()), "B/subscription")
				runtime.KeepAlive(x)
			}
		})
	}
}

func live() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func BenchmarkLookup(b *testing.B) {
	table := NewTable(4)
	x := NewIndex(table, 2)
	for i := range uint32(100_000) {
		x.Subscribe(i, fmt.Sprintf("Todo/t_%08d", i))
	}
	name := []byte("Todo/t_00077777")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if table.Lookup(view(name)) == nil {
				b.Error("not found")
			}
		}
	})
}

// BenchmarkSubscribers is per subscriber.
func BenchmarkSubscribers(b *testing.B) {
	table := NewTable(1)
	x := NewIndex(table, 0)
	for i := range uint32(1000) {
		x.Subscribe(i, "name")
	}
	b.ReportAllocs()
	visited := 0
	for visited < b.N {
		for range subscribers(x, table.Lookup("name")) {
			visited++
		}
	}
}

// BenchmarkSubscribeLeave is a client that takes fifteen names and leaves, among
// 100,000 others.
func BenchmarkSubscribeLeave(b *testing.B) {
	x := NewIndex(NewTable(1), 0)
	names := make([]string, 15)
	for i := range names {
		names[i] = fmt.Sprint("name/", i)
		for client := range uint32(100_000) {
			x.Subscribe(client, names[i])
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, name := range names {
			x.Subscribe(1<<31, name)
		}
		x.Leave(1 << 31)
	}
}
