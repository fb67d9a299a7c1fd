package proof

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	// many is a body of changes that no rest of a disk has room for.
	many = 10_000
	few  = 500
	// answered bounds what the API may take to say that it can't: the session store waits 5 s
	// for others' locks.
	answered = 15 * time.Second
	// refusals of sessions are enough. More may be made than that: the log of the database has some room of its own.
	refusals = 10
)

// shortage is something that the only node hasn't got for a while.
type shortage struct {
	what        string
	take        func(*node) error
	tries       int               // of new sessions, until there are enough refusals
	least       int               // that have to be refused
	meanwhile   func(*node) error // beside a client whose session nobody has looked up before
	give        func(*node) error
	undisturbed bool // all clients stay where they are
}

func (s *stage) lacks(ctx context.Context, w shortage) error {
	n := s.nodes[0]
	unused, err := s.token(ctx, "unused")
	if err != nil {
		return err
	}
	pause(ctx, s.o.Load/2)
	if err := w.take(n); err != nil {
		return err
	}
	began := time.Now()
	refused, err := s.sessionsWhile(ctx, w.tries)
	if err != nil {
		return err
	}
	if refused < w.least {
		return wronged("%s: %d new sessions were refused, of %d", w.what, refused, w.tries)
	}
	s.run.fact("%s: %d new sessions refused with 5xx within %v; a new client, all clients: as ever", w.what, refused, time.Since(began).Round(time.Millisecond))
	if err := errors.Join(s.visit(ctx, unused), s.undisturbed()); err != nil {
		return err
	}
	if err := w.meanwhile(n); err != nil {
		return err
	}
	if err := w.give(n); err != nil {
		return err
	}
	if err := s.recovers(ctx); err != nil || !w.undisturbed {
		return err
	}
	return s.undisturbed()
}

// fillDirectory leaves the data directory without a free byte under load, has the server killed there, and makes
// room again.
func (s *stage) fillDirectory(ctx context.Context) error {
	return s.lacks(ctx, shortage{
		what: "no room", tries: 200, least: 1,
		take: func(n *node) error { return s.fill(n.path("filler")) },
		meanwhile: func(n *node) error {
			if err := s.refusesChanges(ctx); err != nil {
				return err
			}
			if err := errors.Join(s.undisturbed(), s.crash(n, n.kill)); err != nil {
				return err
			}
			if err := errors.Join(n.start(ctx), s.refusesChanges(ctx)); err != nil {
				return fmt.Errorf("killed while the disk is full: %w", err)
			}
			return nil
		},
		give: func(n *node) error { return os.Remove(n.path("filler")) },
	})
}

// readOnly puts the data directory itself over it, read-only: what is open can be written to, nothing can be opened for
// that or made.
func (s *stage) readOnly(ctx context.Context) error {
	return s.lacks(ctx, shortage{
		what: "read-only", tries: refusals, undisturbed: true,
		take: func(n *node) error {
			if err := errors.Join(n.room.do(ctx, "mount --bind %s %s", n.dir, n.dir), n.room.do(ctx, "mount -o remount,bind,ro %s", n.dir)); err != nil {
				return err
			}
			if _, err := os.Create(n.path("any")); !errors.Is(err, unix.EROFS) {
				return fmt.Errorf("the data directory isn't read-only: %w", err)
			}
			return nil
		},
		meanwhile: func(*node) error { return s.takesChanges(ctx) },
		give:      func(n *node) error { return n.room.do(ctx, "umount --lazy %s", n.dir) },
	})
}

// lock has another process, this one, lock the database for writing while the daemon serves.
func (s *stage) lock(ctx context.Context) error {
	db, err := sql.Open("sqlite", "file:"+s.nodes[0].path("busbar.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	do := func(command string) func(*node) error {
		return func(*node) error {
			_, err := db.ExecContext(ctx, command)
			return err
		}
	}
	return s.lacks(ctx, shortage{
		what: "locked", tries: 1, least: 1, undisturbed: true, take: do("BEGIN EXCLUSIVE"), give: do("ROLLBACK"),
		meanwhile: func(*node) error { return s.takesChanges(ctx) },
	})
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
		case errors.As(err, &no) && no.status/100 == 5 && strings.HasPrefix(no.body, `{"error":{"code":`) && !errors.Is(err, errWronged):
			refused++
		case err != nil:
			return refused, err
		}
	}
	return refused, nil
}

// takesChanges checks what needs nothing that has to be opened.
func (s *stage) takesChanges(ctx context.Context) error {
	if err := s.bulk(ctx, few); err != nil {
		return err
	}
	return s.alive(ctx, everything...)
}

// refusesChanges checks that what can't be stored is told so, and that what isn't stored goes on.
func (s *stage) refusesChanges(ctx context.Context) error {
	if err := s.bulk(ctx, many); statusOf(err) != http.StatusInsufficientStorage || errors.Is(err, errWronged) {
		return wronged("changes that there is no room for: %v", err)
	}
	return s.alive(ctx, presence, topics, broadcasts)
}

// recovers checks that all is as before, without a new start.
func (s *stage) recovers(ctx context.Context) error {
	start, last := time.Now(), error(nil)
	err := poll(ctx, answered, 50*time.Millisecond, func() (bool, error) { // what the database has to say about the disk may be a moment old
		_, last = s.token(ctx, "again")
		return last == nil, nil
	})
	if err != nil {
		return wronged("no new session though there was room again: %w: %w", err, last)
	}
	if err := s.takesChanges(ctx); err != nil {
		return err
	}
	s.run.fact("with room again, and the same process: sessions and changes after %v", time.Since(start).Round(time.Millisecond))
	return nil
}

// fillNode leaves the first node without a free byte, and in the next round kills another one: with room again the first
// has to take part, since the two that are left can only agree if it does.
func (s *stage) fillNode(ctx context.Context, n *node) error {
	if n == s.nodes[0] {
		n.away.Store(false)
		return s.fill(s.filler())
	}
	if err := n.kill(); err != nil {
		return err
	}
	if err := s.publish(ctx, &publisher{stream: s.book.of(bulks)[0]}); err != nil {
		return fmt.Errorf("with room again, and another node gone: %w", err)
	}
	return nil
}

func (s *stage) filler() string {
	return s.nodes[0].room.path(filepath.Join(s.logFolder(s.nodes[0]), "filler"))
}

func (s *stage) emptyNode(ctx context.Context, n *node) error {
	if n != s.nodes[0] {
		return n.start(ctx)
	}
	err := os.Remove(s.filler())
	if n.nats != nil { // a node looks after its own; once there was no room, this one stores nothing any more
		n.nats.end(syscall.SIGTERM)
		err = errors.Join(err, n.nats.launch())
	}
	return err
}

// fill takes all that is free.
func (s *stage) fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block, size := make([]byte, 64<<10), 0; ; {
		n, err := f.Write(block)
		size += n
		switch {
		case errors.Is(err, unix.ENOSPC):
			s.run.fact("%d bytes left no room", size)
			return nil
		case err != nil:
			return err
		}
	}
}
