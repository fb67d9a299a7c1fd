package proof

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Sample is the server at one moment, from outside: figures of /metrics and /proc.
type Sample struct {
	Seconds    float64 `json:"seconds"`  // since the start
	Resident   float64 `json:"resident"` // bytes
	Heap       float64 `json:"heap"`     // bytes, dead ones included that weren't collected yet
	Goroutines float64 `json:"goroutines"`
	Threads    float64 `json:"threads"`
	// Descriptors by what they are: a socket is a client or a caller of the API, the rest
	// is files (the database's) and the loops' own.
	Sockets       float64 `json:"sockets"`
	Files         float64 `json:"files"`
	Connections   float64 `json:"connections"`
	Clients       float64 `json:"clients"`
	Lagging       float64 `json:"lagging"`
	Subscriptions float64 `json:"subscriptions"`
	QueueFrames   float64 `json:"queue_frames"`
	QueueBytes    float64 `json:"queue_bytes"`
	Delivered     float64 `json:"delivered"` // messages, in all
	Accepted      float64 `json:"accepted"`  // connections, in all
	Panics        float64 `json:"panics"`
	Dropped       float64 `json:"dropped"` // by mailboxes that were full
}

// sample reads them all. The connection of the scrape itself isn't among the sockets.
func (d *daemon) sample(ctx context.Context, since time.Time) (Sample, error) {
	text, err := d.call(ctx, "GET", "/metrics", "", nil)
	if err != nil {
		return Sample{}, err
	}
	m := parseMetrics(text)
	s := Sample{
		Seconds: time.Since(since).Seconds(), Resident: m["process_resident_memory_bytes"], Heap: m["go_memstats_heap_alloc_bytes"],
		Goroutines: m["go_goroutines"], Threads: m["go_threads"],
		Connections: m["busbar_connections"], Clients: m["busbar_clients"], Lagging: m["busbar_clients_lagging"],
		Subscriptions: m["busbar_subscriptions"], QueueFrames: m["busbar_loop_queue_frames"], QueueBytes: m["busbar_loop_queue_bytes"],
		Delivered: m["busbar_frames_delivered_total"], Accepted: m["busbar_loop_accepted_total"], Panics: m["busbar_handler_panics_total"],
		Dropped: m[`busbar_messages_dropped_total{cause="queue_lossy"}`] + m[`busbar_messages_dropped_total{cause="queue_other"}`],
	}
	s.Sockets, s.Files, err = descriptors(d.pid())
	return s, err
}

// parseMetrics sums the samples of each name, and has each with its labels as well.
func parseMetrics(text []byte) map[string]float64 {
	m := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || strings.HasPrefix(name, "#") {
			continue
		}
		if family, _, labelled := strings.Cut(name, "{"); labelled {
			m[family] += v
		}
		m[name] += v
	}
	return m
}

// descriptors counts what a process has open.
func descriptors(pid int) (sockets, files float64, err error) {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0, 0, fmt.Errorf("counting descriptors: %w", err)
	}
	for _, e := range entries {
		to, err := os.Readlink(folder + "/" + e.Name())
		switch {
		case err != nil: // closed meanwhile
		case strings.HasPrefix(to, "socket:"):
			sockets++
		default:
			files++
		}
	}
	return sockets, files, nil
}
