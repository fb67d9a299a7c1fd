package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// many is a body of changes that no rest of a disk has room for.
	many = 10_000
	// answered bounds what the API may take to say that it can't: the session store waits 5 s
	// for others' locks.
	answered = 15 * time.Second
)

// full leaves the data directory without a free byte under load, has the server killed there, and makes
// room again.
func (o *ChaosOptions) full(ctx context.Context, r *Record) error {
	prepare := func(d *daemon, b *Book) {
		o.mounted(d, b)
		durableStreams(d, b)
	}
	return o.onStage(ctx, prepare, func(ctx context.Context, s *stage) error {
		unused, err := s.session(ctx, "unused")
		if err != nil {
			return err
		}
		mounts, err := o.keepMounts(s.daemon)
		if err != nil {
			return err
		}
		defer mounts.Close()
		t := &toll{ledger: newLedger(s.book)}
		stop := s.load(ctx, o.Rate, &t.failures, changes, rows)
		defer func() { _ = stop() }()
		pause(ctx, o.Load/2)
		filled, err := fill(s.path("filler"))
		if err != nil {
			return err
		}
		refused, err := s.sessionsWhile(ctx)
		if err != nil {
			return err
		}
		if refused == 0 {
			return wronged("%d bytes filled the disk, and sessions went on being made", filled)
		}
		if err := s.refusesChanges(ctx); err != nil {
			return err
		}
		if err := s.takesClient(ctx, unused); err != nil {
			return err
		}
		r.fact("%d bytes left no room: %d of %d new sessions refused with 5xx, changes with 507; a new client, presence, broadcasts, all clients: as ever", filled, refused, tries)
		if err := o.crashAndReturn(ctx, s, t, func() error { s.kill(); return nil }); err != nil {
			return fmt.Errorf("killed while the disk is full: %w", err)
		}
		if err := s.refusesChanges(ctx); err != nil {
			return err
		}
		r.fact("killed while it was full: all clients were back, with their cursors, within %v", t.gap.Round(time.Millisecond))
		if err := os.Remove(s.path("filler")); err != nil {
			return err
		}
		if err := s.recovers(ctx, r); err != nil {
			return err
		}
		if err := errors.Join(stop(), s.alive(ctx), s.audit(ctx, t.ledger, s.takeLives()), s.compareAll(ctx, t.ledger)); err != nil {
			return err
		}
		r.fact("%d changes: each that was acknowledged is there once, and was sent once and in order; %d calls failed and were made again, or given up without an op_id", len(t.events), t.failures.Load())
		return nil
	})
}

// readOnly has the data directory's files replaced by read-only ones, for whoever opens them.
func (o *ChaosOptions) readOnly(ctx context.Context, r *Record) error {
	return o.onStage(ctx, o.mounted, func(ctx context.Context, s *stage) error {
		unused, err := s.session(ctx, "unused")
		if err != nil {
			return err
		}
		if err := inMounts(s.pid(), func() error { return hideBehindReadOnly(s.dir) }); err != nil {
			return err
		}
		if _, err := os.Create(s.path("any")); !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("the data directory isn't read-only: %w", err)
		}
		refused, err := s.sessionsWhile(ctx)
		if err != nil {
			return err
		}
		if err := s.goesOn(ctx, unused); err != nil {
			return err
		}
		r.fact("read-only: %d of %d new sessions refused with 5xx; %d events, a new client, all clients: as ever", refused, tries, many)
		if err := inMounts(s.pid(), func() error { return unix.Unmount(s.dir, unix.MNT_DETACH) }); err != nil {
			return err
		}
		return s.recovers(ctx, r)
	})
}

// fill takes all that is free.
func fill(path string) (n int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		wrote, err := f.Write(make([]byte, size))
		n += int64(wrote)
		switch {
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// tries is how many sessions are asked for: the log of the database has some room of its own.
const tries = 200

// sessionsWhile asks for sessions where there's no room for them: made or refused, each in time.
func (s *stage) sessionsWhile(ctx context.Context) (refused int, err error) {
	for i := range tries {
		var no *refusal
		err := within(answered, "a new session", func() error {
			_, err := s.session(ctx, fmt.Sprintf("more%d", i))
			return err
		})
		switch {
		case errors.As(err, &no) && no.status/100 == 5 && bytes.HasPrefix([]byte(no.body), []byte(`{"error":{"code":`)) && !errors.Is(err, errWronged):
			refused++
		case err != nil:
			return refused, err
		}
	}
	return refused, nil
}

// goesOn checks what needs nothing that has to be opened: changes, and a client whose session nobody has looked up before.
func (s *stage) goesOn(ctx context.Context, unused string) error {
	if err := s.bulk(ctx, many); err != nil {
		return err
	}
	if err := s.takesClient(ctx, unused); err != nil {
		return err
	}
	return s.alive(ctx)
}

// refusesChanges checks that what can't be stored is told so, and that what isn't stored goes on.
func (s *stage) refusesChanges(ctx context.Context) error {
	var no *refusal
	if err := s.bulk(ctx, many); !errors.As(err, &no) || no.status != 507 || errors.Is(err, errWronged) {
		return wronged("changes that there is no room for: %v", err)
	}
	for _, st := range s.book.of(presence, broadcasts) {
		if err := s.publish(ctx, st, 200); err != nil {
			return err
		}
	}
	return s.together((*peer).catchUp)
}

// takesClient checks that a client gets in whose session nobody has looked up before.
func (s *stage) takesClient(ctx context.Context, unused string) error {
	one := *s.slots[0]
	one.token = unused
	p, err := s.connect(ctx, &one, 0, 0)
	if err == nil {
		defer p.gone()
		err = p.settle()
	}
	if err != nil {
		return fmt.Errorf("a client with a session that nobody has used: %w", err)
	}
	return nil
}

// recovers checks that all is as before, without a new start.
func (s *stage) recovers(ctx context.Context, r *Record) error {
	start := time.Now()
	for { // what the database has to say about the disk may be a moment old
		_, err := s.session(ctx, "again")
		if err == nil {
			break
		}
		if time.Since(start) > answered || !pause(ctx, 50*time.Millisecond) {
			return wronged("no new session %v after there was room again: %w", time.Since(start), err)
		}
	}
	if err := s.bulk(ctx, many); err != nil {
		return err
	}
	r.fact("with room again, and the same process: sessions after %v, and changes", time.Since(start).Round(time.Millisecond))
	return nil
}
