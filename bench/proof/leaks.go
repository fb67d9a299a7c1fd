package proof

import (
	"fmt"
)

// What may be more at the end than at the start, and why.
const (
	// The pools of the session store and of the change log's readers open a connection when all are in use, and
	// keep it: a file, its -wal and its -shm each.
	moreFiles = 36
	// A connection of the pool has no goroutine, one of the API has. Workers for lookups and
	// snapshots end when there's nothing to do; gnet's wait ten seconds.
	moreGoroutines = 4
	moreThreads    = 16 // the runtime keeps those that once were in a system call
	// Memory that the runtime has and doesn't need is given back slowly, and in spans that
	// are in use for one object perhaps. The log and the rows may be full, which they aren't
	// at the start; each is bounded by its flag.
	slackBytes   = 48 << 20
	moreResident = soakLogBytes + soakRowBytes + slackBytes
)

// leftBehind says what isn't back at the start; with none it says who is still there.
func leftBehind(now Sample, start *Sample) (left []string) {
	most := Sample{}
	if start != nil {
		most = Sample{
			Sockets: start.Sockets, Files: start.Files + moreFiles, Goroutines: start.Goroutines + moreGoroutines,
			Threads: start.Threads + moreThreads, Resident: start.Resident + moreResident,
		}
	}
	for _, f := range figures {
		if !f.level && start == nil {
			continue
		}
		if v, limit := f.of(now), f.of(most); v > limit && !f.total {
			left = append(left, fmt.Sprintf("%s: %s, and %s at most may be left", f.name, f.text(v), f.text(limit)))
		}
	}
	if start != nil && now.Panics > 0 {
		left = append(left, fmt.Sprintf("%.0f panics", now.Panics))
	}
	if start != nil && now.Dropped > 0 {
		left = append(left, fmt.Sprintf("%.0f messages were dropped by mailboxes", now.Dropped))
	}
	return left
}

// figure is one number of a sample.
type figure struct {
	name  string
	of    func(Sample) float64
	text  func(float64) string
	level bool // nothing of it may be there when nobody is
	total bool // it only grows
	trend bool // it may not grow under a load that doesn't
}

var figures = []figure{
	{name: "resident", of: func(s Sample) float64 { return s.Resident }, text: mebi, trend: true},
	{name: "heap", of: func(s Sample) float64 { return s.Heap }, text: mebi, total: true},
	{name: "goroutines", of: func(s Sample) float64 { return s.Goroutines }, text: whole, trend: true},
	{name: "threads", of: func(s Sample) float64 { return s.Threads }, text: whole},
	{name: "sockets", of: func(s Sample) float64 { return s.Sockets }, text: whole, trend: true},
	{name: "files", of: func(s Sample) float64 { return s.Files }, text: whole, trend: true},
	{name: "connections", of: func(s Sample) float64 { return s.Connections }, text: whole, level: true, trend: true},
	{name: "clients", of: func(s Sample) float64 { return s.Clients }, text: whole, level: true, trend: true},
	{name: "lagging", of: func(s Sample) float64 { return s.Lagging }, text: whole, level: true},
	{name: "subscriptions", of: func(s Sample) float64 { return s.Subscriptions }, text: whole, level: true, trend: true},
	{name: "queued messages", of: func(s Sample) float64 { return s.QueueFrames }, text: whole, level: true},
	{name: "queued bytes", of: func(s Sample) float64 { return s.QueueBytes }, text: mebi, level: true},
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }
func mebi(v float64) string  { return fmt.Sprintf("%.1f MiB", v/(1<<20)) }
