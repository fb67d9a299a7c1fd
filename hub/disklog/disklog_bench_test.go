package disklog

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

var someChange = hub.Change{
	Entity: "Todo", RowID: "t_1", Kind: hub.Update, Timestamp: "1767225600Z",
	Data: []byte(`{"title":"` + strings.Repeat("x", 100) + `"}`),
}

func openBench(b *testing.B, o Options) (*Log, string) {
	path := filepath.Join(b.TempDir(), "changes.db")
	l, err := Open(path, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l, path
}

func BenchmarkAppend(b *testing.B) {
	l, _ := openBench(b, Options{})
	for b.Loop() {
		if _, err := l.Append([]hub.Change{someChange}); err != nil {
			b.Fatal(err)
		}
	}
}

// 64 publishers, each of which waits for its answer.
func BenchmarkAppendTogether(b *testing.B) {
	l, _ := openBench(b, Options{})
	b.SetParallelism(32)
	var failed atomic.Bool
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Append([]hub.Change{someChange}); err != nil {
				failed.Store(true)
			}
		}
	})
	if failed.Load() {
		b.Error("failed")
	}
}

// A page after a start, from the file or of what was read from it at the start.
func BenchmarkPage(b *testing.B) {
	b.Run("file", func(b *testing.B) { benchmarkPage(b, 1) })
	b.Run("memory", func(b *testing.B) { benchmarkPage(b, 0) })
}

func benchmarkPage(b *testing.B, tail int) {
	l, path := openBench(b, Options{})
	first := l.Bounds().Last
	if _, err := l.Append(manyChanges(10_000)); err != nil {
		b.Fatal(err)
	}
	l.Close()
	l, err := Open(path, Options{TailBytes: tail})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	l.preloading.Wait()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p, err := l.Range(context.Background(), first+1+uint64(i*37%9000), 100)
		if err != nil || len(p.Entries) != 100 {
			b.Fatal(len(p.Entries), err)
		}
	}
}

// A start on a million events.
func BenchmarkOpen(b *testing.B) {
	l, path := openBench(b, Options{})
	for range 100 {
		if _, err := l.Append(manyChanges(10_000)); err != nil {
			b.Fatal(err)
		}
	}
	l.Close()
	for b.Loop() {
		l, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		l.Close()
	}
}

func manyChanges(n int) []hub.Change {
	changes := make([]hub.Change, n)
	for i := range changes {
		changes[i] = someChange
	}
	return changes
}
