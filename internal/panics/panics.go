// Package panics counts what was recovered from, and logs each place that it came from once.
package panics

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
)

// Log counts panics that were recovered from, and logs each place that one came from
// once, with its stack: what a peer can provoke, it can provoke a thousand times a second.
// Safe from any goroutine; the zero value is ready.
type Log struct {
	count atomic.Uint64
	seen  sync.Map // places
}

// Note is called in the deferred function that has recovered r. doing completes "panic …".
func (p *Log) Note(to *slog.Logger, doing string, r any) {
	p.count.Add(1)
	at := place()
	if _, seen := p.seen.LoadOrStore(at, true); seen {
		return
	}
	// A logger that panics, on a value that can't be printed or by itself, has no say in this.
	defer func() { _ = recover() }()
	to.Error("panic "+doing, "panic", r, "at", at, "stack", string(debug.Stack()))
}

// Add counts one that was logged elsewhere.
func (p *Log) Add() { p.count.Add(1) }

// Count is how many there were.
func (p *Log) Count() uint64 { return p.count.Load() }

// place is where the panic that is being recovered from came from: the first
// frame below the runtime's own.
func place() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	below := false
	for {
		f, more := frames.Next()
		if f.Function == "runtime.gopanic" {
			below = true
		} else if below && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", f.Function, f.Line)
		}
		if !more {
			return "unknown"
		}
	}
}
