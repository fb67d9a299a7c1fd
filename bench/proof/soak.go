package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Soak runs it. The error is about what kept it from running; what it found is in the result.
func Soak(ctx context.Context, o SoakOptions) (*SoakResult, error) {
	o.defaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	show := o.Progress
	o.Progress = func(what string, done, of int64) {
		mu.Lock()
		defer mu.Unlock()
		show(what, done, of)
	}
	r := &SoakResult{Runs: make([]*SoakRun, len(o.Policies))}
	errs := make([]error, len(o.Policies))
	var wg sync.WaitGroup
	for i, policy := range o.Policies {
		wg.Go(func() { r.Runs[i], errs[i] = o.run(ctx, policy) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	r.Failed = r.verdict()
	return r, nil
}

// What of the state that a daemon is meant to keep it may keep in a soak. All of it belongs to
// the memory that needn't be given back at the end.
const (
	soakLogEvents, soakLogBytes = 2000, 4 << 20
	soakRowBytes                = 16 << 20
	// soakLagBytes is more than healthy clients lag behind on a busy machine: some messages of 1 MiB.
	soakLagBytes = 3 << 20
)

func (o *SoakOptions) daemonArgs(policy string, routed bool) []string {
	args := []string{
		"-slow", policy, "-lag-bytes", fmt.Sprint(soakLagBytes), "-send-buffer", "256KiB",
		"-log-events", fmt.Sprint(soakLogEvents), "-log-tail", fmt.Sprint(soakLogBytes), "-rows-bytes", fmt.Sprint(soakRowBytes),
	}
	if routed {
		args = append(args, "-routing", "subscribed")
	}
	return append(args, o.Args...)
}

// run is one daemon's soak. Daemons that drop the oldest route by subscription, the others send
// all to all, so that both are soaked.
func (o *SoakOptions) run(ctx context.Context, policy string) (*SoakRun, error) {
	folder, err := os.MkdirTemp("", "busbar-soak")
	if err != nil {
		return nil, fmt.Errorf("making a data directory: %w", err)
	}
	defer os.RemoveAll(folder)
	routed := policy == "drop-oldest"
	d, err := newDaemon(o.Program, filepath.Join(folder, "data"), o.daemonArgs(policy, routed)...)
	if err != nil {
		return nil, err
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	s := &soak{SoakOptions: o, policy: policy, arena: newArena(d, soakBook(routed, o.Churners))}
	run, err := s.play(ctx)
	if stopped := d.stop(); err == nil && stopped != nil {
		run.Wrongs = append(run.Wrongs, stopped.Error())
	}
	return run, err
}

// soakBook has few streams of each kind: enough for their order to matter, few enough for each
// client to have several.
func soakBook(routed bool, relayers int) *Book {
	b := newBook(routed)
	b.add(changes, "e", 4)
	b.add(topics, "t", 4)
	b.add(rows, "x", 8)
	b.add(presence, "p", 1)
	b.add(broadcasts, "b", 1)
	b.add(relays, "r", relayers)
	return b
}
