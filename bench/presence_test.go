package bench_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

func presenceOptions(t *testing.T) bench.PresenceOptions {
	o := bench.PresenceOptions{Options: options(t, 60), Senders: 0.5, Rate: 300, Duration: 300 * time.Millisecond}
	o.Load.Workers = 2
	o.Target.Command = process(t, "target", "-loops=2")
	return o
}

func TestPresenceReachesEveryone(t *testing.T) {
	t.Parallel()
	o := presenceOptions(t)
	o.WarmUp, o.Leave = 50*time.Millisecond, 20
	r, err := bench.Presence(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != "" || r.Senders != 30 || r.Sent != 90 || r.Relayed+r.Limited != 90 {
		t.Errorf("failed: %q, %d senders sent %d: %d relayed, %d above the limit", r.Failed, r.Senders, r.Sent, r.Relayed, r.Limited)
	}
	if r.Deliveries+r.Missing != r.Relayed*60 || r.Latency.Count != r.Deliveries || r.Late.Count != 90 || r.PerDelivery <= 0 || r.Seconds <= 0 {
		t.Errorf("%d deliveries and %d missing of %d relayed; %d latencies, %d times late, %v ns each in %v s",
			r.Deliveries, r.Missing, r.Relayed, r.Latency.Count, r.Late.Count, r.PerDelivery, r.Seconds)
	}
	l := r.Leave
	if l == nil || l.Fewest < 1 || l.Most > 20 || l.Messages < 40*l.Fewest || l.Bytes == 0 {
		t.Errorf("leaving: %+v", l)
	}
}

// What a client sends above the server's limit is no loss, and is told apart.
func TestPresenceAboveTheLimit(t *testing.T) {
	t.Parallel()
	o := presenceOptions(t)
	o.Senders, o.Rate, o.Size = 0.01, 600, bench.MinRelay // not so much above that the server would close the connection
	r, err := bench.Presence(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != "" || r.Senders != 1 || r.Limited == 0 || r.Relayed == 0 || r.Relayed+r.Limited != 180 {
		t.Errorf("failed: %q, %d senders: %d relayed, %d above the limit", r.Failed, r.Senders, r.Relayed, r.Limited)
	}
}

func TestInterruptedPresenceHasAResult(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := presenceOptions(t)
	o.Duration, o.Leave = time.Hour, 5
	o.Progress = func(phase string, done, _ int64) {
		if phase == "measuring" && done > int64(100*time.Millisecond) {
			cancel()
		}
	}
	r, err := bench.Presence(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Failed != "" || r.Sent == 0 || r.Leave != nil {
		t.Errorf("interrupted: %v, failed: %q, %d sent, leave %+v", r.Interrupted, r.Failed, r.Sent, r.Leave)
	}
}

func TestPresenceThatCantBe(t *testing.T) {
	tests := []struct {
		change func(*bench.PresenceOptions)
		want   string
	}{
		{func(o *bench.PresenceOptions) { o.Senders = 1.5 }, "senders: a share of 1.5"},
		{func(o *bench.PresenceOptions) { o.Rate = -1 }, "rate: -1"},
		{func(o *bench.PresenceOptions) { o.Size = bench.MinRelay - 1 }, "size: "},
		{func(o *bench.PresenceOptions) { o.Leave = 60 }, "leave: 60 of 60 clients"},
		{func(o *bench.PresenceOptions) { o.Load.Clients, o.Senders = 100_000, 1 }, "too many to check"},
		{func(o *bench.PresenceOptions) {
			o.Target = bench.Target{Name: "other", Command: process(t, "faulty")}
		}, "other doesn't take presence"},
	}
	for _, test := range tests {
		o := presenceOptions(t)
		test.change(&o)
		if _, err := bench.Presence(t.Context(), o); !errors.Is(err, bench.ErrOptions) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v; want %q", err, test.want)
		}
	}
}
