package disklog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/logtest"
)

func openIn(t *testing.T, dir string) (hub.ChangeLog, func()) {
	l := open(t, filepath.Join(dir, "changes.db"), Options{})
	return l, func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestKill(t *testing.T) { logtest.Kill(t, openIn) }

func TestFullDisk(t *testing.T) { logtest.FullDisk(t, openIn) }

// lines is a log that is safe from any goroutine.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// beside is another connection to the file.
func beside(t *testing.T, path string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func execute(t *testing.T, conn *sql.Conn, text string) {
	t.Helper()
	if _, err := conn.ExecContext(context.Background(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// Whoever else has the file locked makes publishers wait, and then try again; one line says so, and one that it is over.
func TestLockedByAnother(t *testing.T) {
	var log lines
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	logtest.Append(t, l, someChange)
	other := beside(t, path)
	execute(t, other, "BEGIN IMMEDIATE")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if done, err := l.Append(manyChanges(2)); !errors.Is(err, hub.ErrLogUnavailable) || len(done) > 0 {
				t.Errorf("got %+v, %v", done, err)
			}
		})
	}
	all.Wait()
	if n := len(logtest.All(t, l, 0, 10)); n != 1 {
		t.Errorf("%d entries", n)
	}
	execute(t, other, "ROLLBACK")
	logtest.Append(t, l, manyChanges(2)...)
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, path) || !strings.Contains(text, "stores events again") {
		t.Errorf("logged\n%s", text)
	}
}

// A transaction of which nobody knew whether it was stored, and was: it is in the log, and the follower gets it.
func TestStoredAllTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{})
	f := logtest.Follow(t, l)
	last := logtest.Append(t, l, manyChanges(3)...)[2].Seq
	other := beside(t, path)
	if _, err := other.ExecContext(t.Context(), `INSERT INTO changes VALUES (?, ?, ?, 100, 'E', NULL, NULL, CAST('{}' AS BLOB))`,
		last+1, last, time.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	execute(t, other, `INSERT INTO op_ids SELECT max(seq), max(at), 'op' FROM changes; UPDATE log SET last = last + 1, events = events + 1`)
	if done, err := l.Append([]hub.Change{someChange}); !errors.Is(err, hub.ErrLogUnavailable) {
		t.Fatalf("got %+v, %v", done, err)
	}
	c := someChange
	c.OpID = "op"
	done := logtest.Append(t, l, c, someChange)
	if done[0] != (hub.Appended{Seq: last + 1, Repeated: true}) || done[1].Seq != last+2 {
		t.Errorf("got %+v behind %d", done, last)
	}
	if got := f.Seqs(); len(got) != 5 || len(logtest.All(t, l, 0, 2)) != 5 {
		t.Errorf("delivered %v", got)
	}
}

// A file that isn't the log's is named, told why, and left as it is.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.db")
	l := open(t, mine, Options{})
	logtest.Append(t, l, manyChanges(2000)...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(mine)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good)
	clear(damaged[4096 : len(damaged)/4096*4096/2])
	other := filepath.Join(dir, "other.db")
	execute(t, beside(t, other), "CREATE TABLE notes (text)")
	foreign, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Clone(good)
	newer[63] = 9 // https://www.sqlite.org/fileformat.html: the user version
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"text":    {[]byte(strings.Repeat("no database ", 1000)), "not an SQLite database; restore it"},
		"short":   {[]byte("x"), "not an SQLite database; restore it"},
		"foreign": {foreign, "something else's database"},
		"newer":   {newer, "a newer version of Busbar"},
		"damaged": {damaged, "damaged; restore it"},
		"cut off": {good[:len(good)/8192*4096], "damaged; restore it"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(path, Options{})
			if err == nil {
				l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, c.text) {
				t.Errorf("the file is another, %v", err)
			}
		})
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none", "changes.db"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// A process that died as it made the file leaves an empty one.
func TestEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	logtest.Append(t, open(t, path, Options{}), someChange)
}

// In the place of a log that was moved elsewhere, where its seqs go on, none begins without a word.
func TestMovedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{})
	last := logtest.Append(t, l, someChange)[0].Seq
	if err := errors.Join(l.MoveAway(), l.Close()); err != nil { // as its owner closes it all the same
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "busbar log copy has moved it") || !strings.Contains(err.Error(), path+".moved") {
			t.Fatalf("got %v", err)
		}
	}
	if err := os.Rename(path+".moved", path); err != nil {
		t.Fatal(err)
	}
	if b := open(t, path, Options{}).Bounds(); b.Last != last {
		t.Errorf("got %+v, want %d", b, last)
	}
}

// A clock that was set back doesn't take seqs back, nor does a crash of a log that never had room for its first event: the
// seq that it begins behind is in the file before anybody is told of it.
func TestClockSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{})
	var kept uint64
	if err := beside(t, path).QueryRowContext(t.Context(), "SELECT last FROM log").Scan(&kept); err != nil || kept == 0 || kept != l.Bounds().Last {
		t.Errorf("it begins behind %d, and the file says %d (%v)", l.Bounds().Last, kept, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	future := hub.LogStart(time.Now().Add(1000 * time.Hour))
	execute(t, beside(t, path), fmt.Sprintf("UPDATE log SET last = %d", future))
	l = open(t, path, Options{})
	if got := logtest.Append(t, l, someChange)[0].Seq; got != future+1 {
		t.Errorf("got %d behind %d", got, future)
	}
}

// A change that is refused in a transaction that fails, and stored when it is tried alone, is answered as stored.
func TestRefusedOnlyBesideAnother(t *testing.T) {
	w, err := openWriter(filepath.Join(t.TempDir(), "changes.db"), Options{MaxEvents: 10, MaxBytes: 10 << 20, Given: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	l := &Log{writer: w, tail: hub.NewTail(10, 1<<20, 0), jobs: make(chan *job)}
	w.committed, w.rows.log = l.committed, l
	// There is no room for what has seq 10, which shows when all of the transaction is written.
	execute(t, w.conn, `PRAGMA max_page_count = 50; CREATE TRIGGER large AFTER UPDATE ON log WHEN new.last = 10
		BEGIN INSERT INTO rows VALUES (1, 'E', 'r', '', zeroblob(1000000)); END`)
	type answer struct {
		done []hub.Appended
		err  error
	}
	var group []*job
	var answers []chan answer
	for _, seq := range []uint64{10, 5} {
		c := someChange
		c.Seq = seq
		got := make(chan answer, 1)
		go func() {
			done, err := l.Append([]hub.Change{c})
			got <- answer{done, err}
		}()
		group, answers = append(group, <-l.jobs), append(answers, got)
	}
	w.do(group)
	if a := <-answers[0]; !errors.Is(a.err, hub.ErrLogFull) || len(a.done) > 0 {
		t.Errorf("what there is no room for: %+v", a)
	}
	if a := <-answers[1]; a.err != nil || len(a.done) != 1 || a.done[0].Seq != 5 {
		t.Errorf("what there is room for: %+v", a)
	}
}

// A log whose files are removed, or another's put in their place, stores nothing that nobody would find again: it says
// so, what to do, and goes on when they are back.
func TestFilesTakenAway(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, dir string) (undo func() error){
		"directory renamed": func(t *testing.T, dir string) func() error {
			return moved(t, dir, dir+".away")
		},
		"file renamed": func(t *testing.T, dir string) func() error {
			return moved(t, filepath.Join(dir, "changes.db"), filepath.Join(dir, "other"))
		},
		"wal renamed": func(t *testing.T, dir string) func() error {
			return moved(t, filepath.Join(dir, "changes.db-wal"), filepath.Join(dir, "other"))
		},
		"directory removed": func(t *testing.T, dir string) func() error {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		"another log in its place": func(t *testing.T, dir string) func() error {
			back := moved(t, dir, dir+".away")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := open(t, filepath.Join(dir, "changes.db"), Options{}).Close(); err != nil {
				t.Fatal(err)
			}
			return func() error { return errors.Join(os.RemoveAll(dir), back()) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			var log lines
			path := filepath.Join(dir, "changes.db")
			l := open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			f := logtest.Follow(t, l)
			logtest.Append(t, l, manyChanges(3)...)
			back := take(t, dir)
			lost := someChange
			lost.OpID = "op"
			for range 3 {
				if done, err := l.Append([]hub.Change{lost}); !errors.Is(err, hub.ErrLogUnavailable) || len(done) > 0 {
					t.Fatalf("got %+v, %v", done, err)
				}
			}
			if err := l.Rows().Put(&hub.StoredRow{Entity: "E", RowID: "r"}); !errors.Is(err, hub.ErrLogUnavailable) {
				t.Errorf("a row: %v", err)
			}
			if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, path+": it or its -wal was removed or replaced") {
				t.Errorf("logged\n%s", text)
			}
			if got := f.Seqs(); len(got) != 3 || l.Bounds().Last != got[2] {
				t.Errorf("delivered %v, %+v", got, l.Bounds())
			}
			if back == nil {
				return
			}
			if err := back(); err != nil {
				t.Fatal(err)
			}
			if done := logtest.Append(t, l, lost, someChange); len(f.Seqs()) != 5 || done[0].Repeated {
				t.Errorf("got %+v, delivered %v", done, f.Seqs())
			}
		})
	}
}

// moved renames a file, until undo.
func moved(t *testing.T, from, to string) (undo func() error) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	return func() error { return os.Rename(to, from) }
}

// A log whose contents are put back to what they were, by whoever writes into its file, doesn't go on from there
// without a word.
func TestContentsPutBack(t *testing.T) {
	var log lines
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	seqs := logtest.Append(t, l, manyChanges(3)...)
	execute(t, beside(t, path), fmt.Sprintf("DELETE FROM changes WHERE seq > %d; UPDATE log SET last = %[1]d, events = 1", seqs[0].Seq))
	for range 2 {
		if done, err := l.Append([]hub.Change{someChange}); !errors.Is(err, hub.ErrLogUnavailable) || len(done) > 0 {
			t.Fatalf("got %+v, %v", done, err)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"busbar log bump\"`) || !strings.Contains(text, path) {
		t.Errorf("logged\n%s", text)
	}
}

// A log whose file another one is copied over stores nothing from then on, and says so; a checkpoint that somebody
// else makes, as tools that copy a database do, changes nothing.
func TestAnotherFileCopiedOver(t *testing.T) {
	var log lines
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	seqs := logtest.Append(t, l, manyChanges(3)...)
	other := beside(t, path)
	execute(t, other, "PRAGMA wal_checkpoint(TRUNCATE)")
	older, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	logtest.Append(t, l, manyChanges(3000)...)
	execute(t, other, "PRAGMA wal_checkpoint")
	last := logtest.Append(t, l, someChange)[0].Seq
	if err := os.WriteFile(path, older, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if done, err := l.Append([]hub.Change{someChange}); !errors.Is(err, hub.ErrLogUnavailable) || len(done) > 0 {
			t.Fatalf("got %+v, %v", done, err)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, path+": somebody else has written to it") {
		t.Errorf("logged\n%s", text)
	}
	if last != seqs[2].Seq+3001 || l.Bounds().Last != last {
		t.Errorf("the last one is %d, of %+v", last-seqs[0].Seq, l.Bounds())
	}
}

// What is in a -wal that is removed is in the file once publishers are refused, however the process ends then.
func TestRemovedWAL(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "changes.db")
	l := open(t, path, Options{})
	seqs := logtest.Append(t, l, manyChanges(3)...)
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append([]hub.Change{someChange}); !errors.Is(err, hub.ErrLogUnavailable) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := filepath.Join(t.TempDir(), "changes.db") // by the next process
	if err := os.WriteFile(found, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if b := open(t, found, Options{}).Bounds(); b.Last != seqs[2].Seq {
		t.Errorf("it has events up to %d, had them up to %d", b.Last, seqs[2].Seq)
	}
}

// Entries that have gone from the file, or can't be read from it, are no gap in silence: what is before them is read,
// then comes a resync, and the operator is told once.
func TestEntriesLostInTheFile(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string, seqs []hub.Appended){
		"rows deleted": func(t *testing.T, path string, seqs []hub.Appended) {
			execute(t, beside(t, path), fmt.Sprintf("DELETE FROM changes WHERE seq BETWEEN %d AND %d", seqs[1000].Seq, seqs[1009].Seq))
		},
		"pages overwritten": func(t *testing.T, path string, _ []hub.Appended) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			middle := len(text) / 2 / 4096 * 4096
			clear(text[middle : middle+2*4096])
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "changes.db")
			l := open(t, path, Options{})
			seqs := logtest.Append(t, l, manyChanges(3000)...)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, path, seqs)
			var log lines
			l = open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			cursor, resyncs := seqs[0].Seq, 0
			for cursor < seqs[2999].Seq {
				p, err := l.Range(t.Context(), cursor, 512)
				if resync := (*hub.ResyncError)(nil); errors.As(err, &resync) {
					if resyncs++; resync.Seq != seqs[2999].Seq || resync.OldestSeq != seqs[0].Seq {
						t.Fatalf("behind %d: %+v", cursor-seqs[0].Seq, resync)
					}
					cursor = seqs[2900].Seq // a cursor behind the loss
					continue
				}
				if err != nil || len(p.Entries) == 0 {
					t.Fatalf("behind %d: %d entries, %v", cursor-seqs[0].Seq, len(p.Entries), err)
				}
				for _, e := range p.Entries {
					if e.Prev != cursor {
						t.Fatalf("%d, behind %d, comes behind %d", e.Seq, e.Prev, cursor)
					}
					cursor = e.Seq
				}
			}
			if _, err := l.Range(t.Context(), seqs[1000].Seq-1, 10); name == "rows deleted" && !errors.As(err, new(*hub.ResyncError)) {
				t.Errorf("again: %v", err)
			}
			if text := log.String(); resyncs != 1 || strings.Count(text, "\n") != 1 || !strings.Contains(text, path) || !strings.Contains(text, "restore it") {
				t.Errorf("%d resyncs, logged\n%s", resyncs, text)
			}
		})
	}
}

// Another process that opens a database takes a -shm without a lock for a dead process's, and truncates it, with what
// this one has mapped of it.
func TestSharedMemoryStaysLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{})
	shm, _ := os.Open(path + "-shm") // to be closed last, since that drops all locks
	defer func() { l.Close(); shm.Close() }()
	logtest.Append(t, l, someChange)
	execute(t, beside(t, path), "PRAGMA wal_checkpoint")
	logtest.Append(t, l, someChange)
	const dms = 128 // UNIX_SHM_DMS of https://www.sqlite.org/src/file/src/os_unix.c
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: dms, Len: 1}
	if err := unix.FcntlFlock(shm.Fd(), unix.F_OFD_GETLK, &lock); err != nil || lock.Type != unix.F_RDLCK {
		t.Errorf("got %+v, %v", lock, err)
	}
}
