package bench_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

func rowsOptions(t *testing.T, clients int) bench.RowsOptions {
	o := bench.RowsOptions{FanoutOptions: bench.FanoutOptions{Options: options(t, clients)}}
	o.Rows, o.Subscribers, o.Settle, o.Window, o.Messages = 10, 3, time.Millisecond, 8, 100
	o.Target.Command = process(t, "target", "-loops=4")
	return o
}

// checkPhase fails unless each message had so many deliveries, and each had a latency.
func checkPhase(t *testing.T, name string, p *bench.RowsPhase, messages, each uint64) {
	t.Helper()
	if p.Messages != messages || p.Deliveries != messages*each || p.Latency.Count != p.Deliveries {
		t.Errorf("%s: %d messages, %d deliveries, %d latencies; want %d and %d each", name, p.Messages, p.Deliveries, p.Latency.Count, messages, each)
	}
	if p.CPU.Process <= 0 || p.PerPublish <= 0 || p.PerDelivery <= 0 || p.Sends <= 0 || p.Wakes == 0 || p.Unwanted != 0 {
		t.Errorf("%s: %+v", name, p)
	}
}

func TestRowsReachTheirSubscribers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*bench.RowsOptions)
		subs   int
		toAll  uint64
	}{
		{"window", func(*bench.RowsOptions) {}, 30 * 10, 10},
		{"one at a time, 3 workers", func(o *bench.RowsOptions) { o.Window, o.Load.Workers, o.Messages = 1, 3, 30 }, 30 * 10, 3},
		{"at a rate", func(o *bench.RowsOptions) { o.Rate = 3000 }, 30 * 10, 10},
		{"clients left over", func(o *bench.RowsOptions) { o.Load.Clients, o.Rows = 32, 1 }, 30, 9},
		{"everyone has every row", func(o *bench.RowsOptions) { o.Load.Clients, o.Subscribers, o.Messages = 5, 5, 60 }, 50, 60},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := rowsOptions(t, 30)
			test.change(&o)
			r, err := bench.Rows(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Failed != "" || r.Subscriptions != test.subs || r.Loops != 4 || r.SubscribeSeconds <= 0 {
				t.Errorf("failed: %q, %d subscriptions in %v s on %d loops", r.Failed, r.Subscriptions, r.SubscribeSeconds, r.Loops)
			}
			each := uint64(r.Subscribers)
			checkPhase(t, "rows", &r.ToRows, uint64(o.Messages), each)
			checkPhase(t, "some", &r.ToSome, uint64(o.Messages), each)
			checkPhase(t, "all", &r.ToAll, test.toAll, uint64(r.Clients))
			if r.ToRows.Wakes > r.ToRows.Deliveries {
				t.Errorf("%d wakes for %d deliveries", r.ToRows.Wakes, r.ToRows.Deliveries)
			}
			if o.Window == 1 && o.Rate == 0 && (r.LoopsWanted < 1 || r.LoopsWanted > 3) {
				t.Errorf("%v loops have a subscriber of a row with 3", r.LoopsWanted)
			}
			if r.OverSome <= 0 || r.OverAll <= 0 || (o.Rate > 0) != (r.ToRows.Late.Count > 0) {
				t.Errorf("ratios %v and %v, %d times late", r.OverSome, r.OverAll, r.ToRows.Late.Count)
			}
		})
	}
}

// interruptedRows is the result of a run that ends when a phase has begun.
func interruptedRows(t *testing.T, during string) *bench.RowsResult {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := rowsOptions(t, 30)
	o.Rows, o.Messages, o.Duration = 500, 0, time.Hour
	o.Progress = func(phase string, done, _ int64) {
		if phase == during && done > 0 {
			cancel()
		}
	}
	r, err := bench.Rows(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "interrupted") {
		t.Errorf("%v, printed %s", err, table.String())
	}
	return r
}

func TestInterruptedSubscribingHasAResult(t *testing.T) {
	t.Parallel()
	r := interruptedRows(t, "subscribing")
	if !r.Interrupted || r.Failed != "" || r.Subscriptions == 0 || r.ToRows.Messages != 0 {
		t.Errorf("interrupted: %v, failed: %q, %d subscriptions, %d messages", r.Interrupted, r.Failed, r.Subscriptions, r.ToRows.Messages)
	}
}

func TestInterruptedRowsHaveAResult(t *testing.T) {
	t.Parallel()
	r := interruptedRows(t, "rows")
	if !r.Interrupted || r.Failed != "" || r.ToRows.Messages == 0 || r.ToSome.Messages != 0 {
		t.Errorf("interrupted: %v, failed: %q, %d messages to rows, %d to some", r.Interrupted, r.Failed, r.ToRows.Messages, r.ToSome.Messages)
	}
}

func TestRowsThatCantBe(t *testing.T) {
	tests := []struct {
		name   string
		change func(*bench.RowsOptions)
		want   string
	}{
		{"more subscribers than clients", func(o *bench.RowsOptions) { o.Subscribers = 31 }, "31 subscribers, 30 clients"},
		{"too small", func(o *bench.RowsOptions) { o.Size = 8 }, "size: 8 bytes"},
		{"settling backwards", func(o *bench.RowsOptions) { o.Settle = -1 }, "settle"},
		{"a target without rows", func(o *bench.RowsOptions) {
			o.Target = bench.Target{Name: "other", Command: process(t, "faulty")}
		}, "other doesn't take rows"},
	}
	for _, test := range tests {
		o := rowsOptions(t, 30)
		test.change(&o)
		if _, err := bench.Rows(t.Context(), o); !errors.Is(err, bench.ErrOptions) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", test.name, err, test.want)
		}
	}
}

func TestSubscriptionsThatAreRefusedAreMissed(t *testing.T) {
	t.Parallel()
	o := rowsOptions(t, 2)
	o.Subscribers, o.Rows, o.Stall = 1, 10_001, 3*time.Second // one more than a client may have
	if _, err := bench.Rows(t.Context(), o); err == nil || !strings.Contains(err.Error(), "subscriptions without a snapshot") {
		t.Errorf("%v", err)
	}
}
