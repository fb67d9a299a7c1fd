package bench

import (
	"context"
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Counted is how many deliveries all clients together have had, in scenarios that count
// them. Safe from any goroutine.
func (l *Load) Counted() uint64 {
	n := uint64(0)
	for _, w := range l.workers {
		n += w.counted.Load()
	}
	return n
}

// reports asks all workers for what their clients have seen so far, and adds it up; the
// two histograms are Report.Latency and Report.Upgrades.
func (l *Load) reports(ctx context.Context, i instruction) (total Report, first, second *hdrhistogram.Histogram, err error) {
	replies, err := l.ask(ctx, i)
	if err != nil {
		return Report{}, nil, nil, err
	}
	return sum(replies)
}

func sum(replies []reply) (total Report, first, second *hdrhistogram.Histogram, err error) {
	first, second = newHistogram(), newHistogram()
	for _, r := range replies {
		total.add(r.Report)
		if err = merge(first, r.Report.Latency); err == nil {
			err = merge(second, r.Report.Upgrades)
		}
		if err != nil {
			return Report{}, nil, nil, fmt.Errorf("adding up reports: %w", err)
		}
	}
	return total, first, second, nil
}
