// Package histogram counts durations in buckets.
package histogram

import (
	"encoding/json"
	"sync/atomic"
	"time"
)

// bounds are the buckets' upper ends. A last bucket has what is above them.
var bounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

const buckets = len(bounds) + 1

// Durations counts durations. Any goroutine may observe and read; where one alone observes, as an event loop does with
// its own, nothing is shared until somebody reads. The zero value has none.
type Durations struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64
}

// Observe counts one. A negative one, which clocks that were read out of order give, counts as none at all.
func (d *Durations) Observe(took time.Duration) {
	took = max(took, 0)
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	d.counts[i].Add(1)
	d.sum.Add(int64(took))
}

// Since observes the time since then.
func (d *Durations) Since(then time.Time) { d.Observe(time.Since(then)) }

// Read is what has been observed so far.
func (d *Durations) Read() (s Snapshot) {
	for i := range d.counts {
		s.Counts[i] = d.counts[i].Load()
	}
	s.Sum = time.Duration(d.sum.Load())
	return s
}

// Snapshot is what Durations had counted at some time. The zero value is nothing.
type Snapshot struct {
	Counts [buckets]uint64 // of each bucket alone
	Sum    time.Duration
}

// Add adds what others have counted.
func (s *Snapshot) Add(o Snapshot) {
	for i := range s.Counts {
		s.Counts[i] += o.Counts[i]
	}
	s.Sum += o.Sum
}

// Cumulative is how many there are in all, and how many up to each bound in seconds, as Prometheus has it.
func (s *Snapshot) Cumulative() (count uint64, upTo map[float64]uint64) {
	upTo = make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		count += s.Counts[i]
		upTo[bound.Seconds()] = count
	}
	return count + s.Counts[len(bounds)], upTo
}

// MarshalJSON is json.Marshaler's: {"count":N,"seconds":S,"buckets":[{"le":SECONDS,"count":N},…]}, with counts up to
// each bound.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	type bucket struct {
		Bound float64 `json:"le"`
		Count uint64  `json:"count"`
	}
	count, upTo := s.Cumulative()
	list := make([]bucket, 0, len(bounds))
	for _, bound := range bounds {
		list = append(list, bucket{bound.Seconds(), upTo[bound.Seconds()]})
	}
	return json.Marshal(struct {
		Count   uint64   `json:"count"`
		Seconds float64  `json:"seconds"`
		Buckets []bucket `json:"buckets"`
	}{count, s.Sum.Seconds(), list})
}
