package httpapi

import (
	"net/http"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/prometheus/procfs"

	"github.com/busbar-ws/busbar/hub"
)

// About is what only the program around the API knows of the server.
type About struct {
	Version   string     `json:"version"`
	ChangeLog string     `json:"change_log"` // what it is kept in
	NATS      *NATSState `json:"nats,omitempty"`
}

// NATSState is the connection that several nodes need.
type NATSState struct {
	State      string `json:"state"`
	Server     string `json:"server"`
	Reconnects uint64 `json:"reconnects"`
}

// numbers are the answer of GET /v1/stats: the hub's and, beside them, the server's and its process'.
type numbers struct {
	At     time.Time `json:"at"`
	Server aboutNow  `json:"server"`
	hub.Stats
	Process process `json:"process"`
}

type aboutNow struct {
	About
	StartedAt time.Time `json:"started_at"`
	Ready     bool      `json:"ready"`
	NotReady  string    `json:"not_ready,omitempty"` // why
	Draining  bool      `json:"draining"`
}

// process is what this process takes of its host.
type process struct {
	Resident   int     `json:"resident_bytes"`
	Heap       uint64  `json:"heap_bytes"`
	Goroutines int     `json:"goroutines"`
	CPU        float64 `json:"cpu_seconds"`
}

// stats is GET /v1/stats.
func (a *api) stats(w http.ResponseWriter, _ *http.Request) error {
	n := numbers{Server: aboutNow{StartedAt: a.started, Draining: a.hub.Draining()}, Process: readProcess()}
	if a.About != nil {
		n.Server.About = a.About()
	}
	err := a.notReady()
	if n.Server.Ready = err == nil; err != nil {
		n.Server.NotReady = err.Error()
	}
	n.At, n.Stats = time.Now(), a.hub.Stats() // next to one another: rates are differences of two answers
	return writeJSON(w, n)
}

// readProcess leaves out what /proc doesn't say. It counts no descriptors: that lists them all.
func readProcess() process {
	p := process{Goroutines: runtime.NumGoroutine()}
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}} // unlike runtime.MemStats this stops nothing
	if metrics.Read(heap); heap[0].Value.Kind() == metrics.KindUint64 {
		p.Heap = heap[0].Value.Uint64()
	}
	if self, err := procfs.Self(); err == nil {
		if s, err := self.Stat(); err == nil {
			p.Resident, p.CPU = s.ResidentMemory(), s.CPUTime()
		}
	}
	return p
}
