package auth

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/hub"
)

var errMoved = errors.New("the file has changed hands")

// foreign is what looks at someone else's file have in common. Safe from any goroutine.
//
// Invariant: of the file nothing but one connection is open in this process, or closing it
// would drop the locks of the others (fcntl(2)). So whatever opens the file, if only to see
// who has locked it, holds looking meanwhile.
type foreign struct {
	looking sync.Mutex
	looked  time.Time // the end of the last look
	owned   time.Time // that of the last one at a file that its owner had open
	main    os.FileInfo
	wal     os.FileInfo // of that file, nil where there was none

	base context.Context // of all looks that are for many; ends when the store closes
}

// sought is a token that is to be looked up. Opening the file takes many times as long as
// reading a row, so the first who can look answers all that have come meanwhile.
type sought struct {
	token    string
	answered bool // by whoever held foreign.looking
	id       *hub.Identity
	err      error
}

// findTogether reads one session of a foreign file; sql.ErrNoRows when there is none. It may
// take lookupTimeout, whoever waits for it.
func (db *database) findTogether(token string) (*hub.Identity, error) {
	q := &sought{token: token}
	db.mu.Lock()
	db.waiting = append(db.waiting, q)
	db.mu.Unlock()
	db.foreign.looking.Lock()
	defer db.foreign.looking.Unlock()
	if !q.answered {
		time.Sleep(time.Until(db.foreign.looked.Add(betweenLooks)))
		db.answer()
	}
	if q.err == nil && q.id == nil {
		return nil, sql.ErrNoRows
	}
	return q.id, q.err
}

// betweenLooks is how long the file is left alone: whoever has tokens looked up without end would
// otherwise keep it open, so that its owner never were the last to close it. A look takes a millisecond.
const betweenLooks = 20 * time.Millisecond

// answer looks up all that wait, in a time of their own: the caller's may be nearly over. It is
// called by whoever holds foreign.looking.
func (db *database) answer() {
	ctx, cancel := context.WithTimeout(db.foreign.base, lookupTimeout)
	defer cancel()
	db.mu.Lock()
	batch := db.waiting
	db.waiting = nil
	db.mu.Unlock()
	tokens := make([]string, len(batch))
	for i, q := range batch {
		tokens[i] = q.token
	}
	var found map[string]*hub.Identity
	err := error(hub.ErrPanicked) // until it is known
	defer func() {
		for _, q := range batch {
			q.answered, q.id, q.err = true, found[q.token], err
		}
	}()
	err = db.look(ctx, func(c *sql.Conn) error {
		found, err = selectTokens(ctx, c, tokens)
		return err
	})
}

// selectTokens reads the sessions that there are of the tokens.
func selectTokens(ctx context.Context, c *sql.Conn, tokens []string) (map[string]*hub.Identity, error) {
	list, err := json.Marshal(tokens)
	if err != nil {
		return nil, err
	}
	found := make(map[string]*hub.Identity, len(tokens))
	rows, err := c.QueryContext(ctx, selectMany, string(list))
	return found, scanSessions(rows, err, found)
}

// look runs f on a connection to a foreign file, and leaves nothing open. While a connection
// of ours is open its owner isn't the last to close the file: the -wal stays, with rows in it
// that a copy of the main file lacks, and that a backup put in the file's place is given. It
// is called by whoever holds foreign.looking.
func (db *database) look(ctx context.Context, f func(*sql.Conn) error) error {
	defer db.foreign.begin(db.path)(ctx)
	if db.moved(stateOf(db.path)) { // read this way, one in WAL mode that nobody has open would get a -wal and a -shm
		return errMoved
	}
	conn, err := db.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // the pool keeps none
	err = f(conn)
	if db.immutable && db.moved(stateOf(db.path)) { // it got a writer meanwhile: what was read counts for nothing
		return errMoved
	}
	return err
}

// begin is called before a look at the file, and what it returns behind it, by whoever holds
// looking.
func (o *foreign) begin(path string) (end func(context.Context)) {
	owned := inUse(path)
	if owned {
		o.main, _ = os.Stat(path)
		o.wal, _ = os.Stat(path + "-wal")
	}
	return func(ctx context.Context) {
		o.looked = time.Now()
		if owned {
			o.owned = o.looked
			o.settle(ctx, path)
		}
	}
}

// closing is how long the owner may take from finding that it isn't the last to having closed.
const closing = 2 * time.Second

// settleLater is called now and then: an owner that was about to close the file during the last
// look may have done so by now.
func (o *foreign) settleLater(ctx context.Context, path string, interval time.Duration) {
	o.looking.Lock()
	defer o.looking.Unlock()
	if time.Since(o.owned) < closing+2*interval {
		o.settle(ctx, path)
	}
}

// settle does what the owner would have done, had it not closed the file during a look: the
// last one to close a database in WAL mode writes what is in the -wal to the main file, and
// removes -wal and -shm, if it may write. Where we may not, they stay until the owner opens
// the file again.
func (o *foreign) settle(ctx context.Context, path string) {
	if !stateOf(path).live || inUse(path) {
		return
	}
	if main, err := os.Stat(path); err != nil || !os.SameFile(main, o.main) {
		// A backup is in its place already. What is in the old -wal would be written into it.
		if wal, err := os.Stat(path + "-wal"); err == nil && o.wal != nil && os.SameFile(wal, o.wal) {
			_ = os.Remove(path + "-wal")
			_ = os.Remove(path + "-shm")
		}
		return
	}
	pool, err := sql.Open("sqlite", source(path, "mode=rw"))
	if err != nil {
		return
	}
	defer pool.Close()
	var n int
	_ = pool.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&n) // SQLite opens a -wal when it reads
}

// inUse reports whether another process has the database open. SQLite holds a lock on these
// bytes from a connection's first look at a file in WAL mode until it closes
// (https://www.sqlite.org/src/file/src/os.h, SHARED_FIRST and SHARED_SIZE).
func inUse(path string) bool {
	const sharedFirst, sharedSize = 0x40000002, 510
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: sharedFirst, Len: sharedSize}
	return unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}
