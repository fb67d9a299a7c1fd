package loadgen

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

var started = time.Now()

// Now is a monotonic clock in nanoseconds, which is read without a system call.
func Now() int64 { return int64(time.Since(started)) }

// SleepUntil waits for a time of Now. It blocks its thread, which wakes when it should only
// after exactTimers.
func SleepUntil(ns int64) {
	for left := ns - Now(); left > 0; left = ns - Now() {
		ts := unix.NsecToTimespec(left)
		_ = unix.Nanosleep(&ts, nil)
	}
}

// Pause waits for a time of Now. It looks at ctx ten times a second.
func Pause(ctx context.Context, until int64) error {
	for at := Now(); at < until; at = Now() {
		if err := ctx.Err(); err != nil {
			return err
		}
		SleepUntil(min(until, at+int64(100*time.Millisecond)))
	}
	return ctx.Err()
}

// exactTimers takes off the 50 µs that the kernel may delay what the calling thread sleeps
// (prctl(2), PR_SET_TIMERSLACK).
func exactTimers() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// longest is the longest latency that is told apart; longer ones count as this long.
const longest = int64(time.Hour)

// NewHistogram is a histogram of nanoseconds with three digits.
func NewHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(100, longest, 3) }

func record(h *hdrhistogram.Histogram, ns int64) {
	_ = h.RecordValue(min(max(ns, 0), longest)) // an error is a value out of the range
}

// Quantile says that so many percent took NS nanoseconds or less.
type Quantile struct {
	Percent float64 `json:"percent"`
	NS      int64   `json:"ns"`
}

// curvePercents are the points of a curve. Those that not a single value lies above are
// left out.
var curvePercents = []float64{
	0, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 96, 97, 98, 99,
	99.3, 99.5, 99.7, 99.8, 99.9, 99.95, 99.97, 99.99, 99.995, 99.999, 99.9995, 99.9999,
}

// Curve is a distribution by rising quantile; it ends with the maximum.
func Curve(h *hdrhistogram.Histogram) (curve []Quantile) {
	for _, percent := range curvePercents {
		if (1-percent/100)*float64(h.TotalCount()) >= 1 {
			curve = append(curve, Quantile{percent, h.ValueAtQuantile(percent)})
		}
	}
	return append(curve, Quantile{100, h.Max()})
}
