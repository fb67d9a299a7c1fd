package proof

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// many is a body of changes that no rest of a disk has room for.
	many = 10_000
	few  = 500
	// answered bounds what the API may take to say that it can't: the session store waits 5 s
	// for others' locks.
	answered = 15 * time.Second
	// tries is how many sessions are asked for, of which so many may be refused: the log of the database has some room
	// of its own.
	tries, refusals = 200, 10
)

// fillDirectory leaves the data directory without a free byte under load, has the server killed there, and makes
// room again.
func (s *stage) fillDirectory(ctx context.Context) error {
	n := s.nodes[0]
	unused, err := s.token(ctx, "unused")
	if err != nil {
		return err
	}
	pause(ctx, s.o.Load/2)
	filled, err := fill(n.path("filler"))
	if err != nil {
		return err
	}
	refused, err := s.sessionsWhile(ctx, tries)
	if err != nil {
		return err
	}
	if refused == 0 {
		return wronged("%d bytes filled the disk, and sessions went on being made", filled)
	}
	if err := errors.Join(s.refusesChanges(ctx), s.visit(ctx, unused), s.undisturbed()); err != nil {
		return err
	}
	s.run.fact("%d bytes left no room: %d new sessions refused with 5xx, changes with 507; a new client, presence, broadcasts, all clients: as ever", filled, refused)
	if err := s.crash(n, n.kill); err != nil {
		return err
	}
	if err := errors.Join(n.start(ctx), s.refusesChanges(ctx)); err != nil {
		return fmt.Errorf("killed while the disk is full: %w", err)
	}
	if err := os.Remove(n.path("filler")); err != nil {
		return err
	}
	return s.recovers(ctx)
}

// readOnly puts the data directory itself over it, read-only: what is open can be written to, nothing can be opened for
// that or made.
func (s *stage) readOnly(ctx context.Context) error {
	n := s.nodes[0]
	unused, err := s.token(ctx, "unused")
	if err != nil {
		return err
	}
	err = errors.Join(n.room.do(ctx, fmt.Sprintf("mount --bind %s %s", n.dir, n.dir)), n.room.do(ctx, "mount -o remount,bind,ro "+n.dir))
	if err != nil {
		return err
	}
	if _, err := os.Create(n.path("any")); !errors.Is(err, unix.EROFS) {
		return fmt.Errorf("the data directory isn't read-only: %w", err)
	}
	refused, err := s.sessionsWhile(ctx, refusals)
	if err != nil {
		return err
	}
	if err := s.goesOn(ctx, unused); err != nil {
		return err
	}
	s.run.fact("read-only: %d of %d new sessions refused with 5xx; changes, a new client, all clients: as ever", refused, refusals)
	if err := n.room.do(ctx, "umount --lazy "+n.dir); err != nil {
		return err
	}
	return errors.Join(s.recovers(ctx), s.undisturbed())
}

// lock has another process, this one, lock the database for writing while the daemon serves.
func (s *stage) lock(ctx context.Context) (err error) {
	unused, err := s.token(ctx, "unused")
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+s.nodes[0].path("busbar.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return fmt.Errorf("locking the database: %w", err)
	}
	start := time.Now()
	err = within(answered, "a new session", func() error {
		_, err := s.token(ctx, "locked")
		return err
	})
	took := time.Since(start)
	var no *refusal
	if !errors.As(err, &no) || no.status/100 != 5 || errors.Is(err, errWronged) {
		return wronged("a new session with the database locked: %w", err)
	}
	if err := s.goesOn(ctx, unused); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "ROLLBACK"); err != nil {
		return err
	}
	s.run.fact("locked: a new session was refused with %d after %v; changes, a new client, all clients: as ever", no.status, took.Round(time.Millisecond))
	return errors.Join(s.recovers(ctx), s.undisturbed())
}

// sessionsWhile asks for sessions where there's no room for them: made or refused, each in time.
func (s *stage) sessionsWhile(ctx context.Context, tries int) (refused int, err error) {
	for i := 0; i < tries && refused < refusals; i++ {
		var no *refusal
		err := within(answered, "a new session", func() error {
			_, err := s.token(ctx, fmt.Sprintf("more%d", i))
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
	if err := s.bulk(ctx, few); err != nil {
		return err
	}
	return errors.Join(s.visit(ctx, unused), s.alive(ctx, everything...))
}

// refusesChanges checks that what can't be stored is told so, and that what isn't stored goes on.
func (s *stage) refusesChanges(ctx context.Context) error {
	var no *refusal
	if err := s.bulk(ctx, many); !errors.As(err, &no) || no.status != 507 || errors.Is(err, errWronged) {
		return wronged("changes that there is no room for: %v", err)
	}
	return s.alive(ctx, presence, topics, broadcasts)
}

// recovers checks that all is as before, without a new start.
func (s *stage) recovers(ctx context.Context) error {
	start := time.Now()
	for { // what the database has to say about the disk may be a moment old
		_, err := s.token(ctx, "again")
		if err == nil {
			break
		}
		if time.Since(start) > answered || !pause(ctx, 50*time.Millisecond) {
			return wronged("no new session %v after there was room again: %w", time.Since(start), err)
		}
	}
	if err := s.bulk(ctx, few); err != nil {
		return err
	}
	s.run.fact("with room again, and the same process: sessions and changes after %v", time.Since(start).Round(time.Millisecond))
	return s.alive(ctx, everything...)
}

// fillNode leaves one node without a free byte. With room again it has to take part: then another is killed, and
// the two that are left can only agree if it does.
func (s *stage) fillNode(ctx context.Context) error {
	small, other := s.nodes[0], s.nodes[1]
	pause(ctx, s.o.Load)
	filler := small.room.path(filepath.Join(small.logFolder(), "filler"))
	filled, err := fill(filler)
	if err != nil {
		return err
	}
	pause(ctx, s.o.Pause/3)
	if err := os.Remove(filler); err != nil {
		return err
	}
	room := time.Now()
	if small.nats != nil { // a node looks after its own; once there was no room, this one stores nothing any more
		small.nats.end(syscall.SIGTERM)
		if err := small.nats.start(); err != nil {
			return err
		}
	}
	if err := small.awaitReady(ctx); err != nil {
		return err
	}
	ready := time.Since(room)
	pause(ctx, s.o.Load)
	other.away.Store(true)
	if err := other.kill(); err != nil {
		return err
	}
	probe := &publisher{stream: s.book.of(bulks)[0]}
	if err := s.publish(ctx, probe); err != nil {
		return fmt.Errorf("with room again, and another node gone: %w", err)
	}
	pause(ctx, s.o.Load)
	if err := other.start(ctx); err != nil {
		return err
	}
	other.away.Store(false)
	pause(ctx, s.o.Load)
	s.run.fact("%d bytes left no room on node 1 for %v; ready %v after there was room, and one of the two that publishing needed while node 2 was gone", filled, s.o.Pause/3, ready.Round(time.Millisecond))
	return nil
}
