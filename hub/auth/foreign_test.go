package auth_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// ownUntilEnd is another process that has a database in WAL mode open: it does what each line of its input
// says, until that ends.
func ownUntilEnd(path string) error {
	var db *sql.DB
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var err error
		switch do, arg, _ := strings.Cut(lines.Text(), " "); do {
		case "open":
			if db, err = sql.Open("sqlite", "file:"+path+"?_busy_timeout=5000&_pragma=synchronous(off)"); err == nil {
				db.SetMaxOpenConns(1)
				_, err = db.Exec("PRAGMA journal_mode = WAL; " + strings.Replace(pylonTable, "TABLE", "TABLE IF NOT EXISTS", 1))
			}
		case "close":
			err = db.Close()
		case "churn":
			err = churn(db, arg, path+".enough")
		default:
			_, err = db.Exec(lines.Text())
		}
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("ok")
	}
	return nil
}

// churn gives all sessions another user at once, again and again until there is that file, with a checkpoint
// of that mode each time.
func churn(db *sql.DB, mode, until string) error {
	for n := 0; ; n++ {
		if _, err := os.Stat(until); err == nil {
			return nil
		}
		if _, err := db.Exec("UPDATE _pylon_sessions SET user_id = ?; PRAGMA wal_checkpoint("+mode+")", fmt.Sprint(mode, n)); err != nil {
			return err
		}
	}
}

// owner is such a process.
type owner struct {
	t     testing.TB
	in    io.WriteCloser
	lines *bufio.Scanner
}

// startOwner returns one that has the file open.
func startOwner(t testing.TB, path string) *owner {
	t.Helper()
	cmd := exec.Command(os.Args[0], childMark, "own", path)
	out, err := cmd.StdoutPipe()
	must(t, err)
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	o := &owner{t, in, bufio.NewScanner(out)}
	o.do("open")
	return o
}

func (o *owner) do(line string) {
	o.t.Helper()
	_, err := fmt.Fprintln(o.in, line)
	must(o.t, err)
	if !o.lines.Scan() || o.lines.Text() != "ok" {
		o.t.Fatalf("%s: %q, %v", line, o.lines.Text(), o.lines.Err())
	}
}

func (o *owner) add(token string) {
	o.t.Helper()
	o.do(fmt.Sprintf("INSERT INTO _pylon_sessions VALUES ('%s', 'user of %[1]s', 0, 0, NULL, NULL)", token))
}

// closed closes the database and fails unless everything is in its main file, from which it takes a copy.
func (o *owner) closed(path, copied, tokens string) {
	o.t.Helper()
	o.do("close")
	if left, _ := filepath.Glob(path + "-*"); len(left) > 0 {
		o.t.Errorf("%v are there when the owner has closed the database", left)
	}
	b, err := os.ReadFile(path) // SQLite has it open nowhere in this process
	must(o.t, err)
	must(o.t, os.WriteFile(copied, b, 0o600))
	db, err := sql.Open("sqlite", copied)
	must(o.t, err)
	defer db.Close()
	var got sql.NullString
	must(o.t, db.QueryRow(`SELECT group_concat(token, ' ') FROM (SELECT token FROM _pylon_sessions ORDER BY token)`).Scan(&got))
	if got.String != tokens {
		o.t.Errorf("a copy holds %q, want %q", got.String, tokens)
	}
}

// docs/protocol.md section 4: the owner of a database in WAL mode may close it, copy it, and put a backup in its place, in
// the middle of one look-up or another: everybody reads what is there.
func TestOwnerClosesUnderLoad(t *testing.T) {
	t.Parallel()
	for name, restore := range map[string]func(backup, path string) error{
		"another file in its place": os.Rename,
		"overwritten":               overwrite,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path, backup := filepath.Join(dir, "pylon.db"), filepath.Join(dir, "backup")
			o := startOwner(t, path)
			o.add("kept")
			var gone revoked
			s := open(t, path, auth.SessionOptions{ReadOnly: true, OnRevoked: gone.add})
			flood(t, s)
			kept := authenticate(t, s, "kept")
			for n := range 3 {
				token := fmt.Sprint("token", n)
				o.closed(path, backup, "kept")
				o.do("open")
				o.add(token)
				id := authenticate(t, s, token)
				if *id != (hub.Identity{UserID: "user of " + token}) {
					t.Errorf("%+v", id)
				}
				o.closed(path, backup+".not", "kept "+token)
				must(t, restore(backup, path))
				eventually(t, "what the backup lacks is revoked", func() bool { return gone.has(id) })
				unauthorized(t, s, token)
				o.do("open")
			}
			if authenticate(t, s, "kept") != kept || gone.has(kept) {
				t.Error("a session that every backup has was revoked")
			}
			o.closed(path, backup, "kept")
		})
	}
}

func overwrite(backup, path string) error {
	b, err := os.ReadFile(backup)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// flood looks up tokens that there are none of, until the test is over.
func flood(t *testing.T, s *auth.Sessions) {
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	for i := range 2 {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				// A file that is just being overwritten can't be read.
				if id, err := s.Authenticate(ctx, fmt.Sprint("nobody's ", i, n)); id != nil || err == nil {
					t.Errorf("%+v, %v", id, err)
				}
			}
		})
	}
}

// Whatever the owner does to its -wal meanwhile, what is read is what was in the database at one moment.
func TestOwnerCheckpoints(t *testing.T) {
	auth.SetLookupTimeout(t, wstest.Patience)
	for _, mode := range []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"} {
		t.Run(mode, func(t *testing.T) {
			const rows = 400 // one page of a list
			path := filepath.Join(t.TempDir(), "pylon.db")
			o := startOwner(t, path)
			o.do(fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "+
				"INSERT INTO _pylon_sessions SELECT 'token' || i, 'nobody', 0, 0, hex(randomblob(40)), NULL FROM n", rows))
			s := open(t, path, auth.SessionOptions{ReadOnly: true})
			done, users := make(chan struct{}), make(map[string]bool)
			go func() {
				defer close(done)
				o.do("churn " + mode)
			}()
			defer func() { <-done }()
			defer os.WriteFile(path+".enough", nil, 0o600)
			for start := time.Now(); len(users) < 5; {
				if time.Since(start) > wstest.Patience {
					t.Fatalf("it was read at %d moments", len(users))
				}
				all := list(t, s)
				for _, one := range all {
					if one.UserID != all[0].UserID {
						t.Fatalf("%s and %s at one moment", one.UserID, all[0].UserID)
					}
				}
				if len(all) != rows {
					t.Fatalf("%d sessions", len(all))
				}
				users[all[0].UserID] = true
			}
		})
	}
}

// The owner may take its database into WAL mode and out of it.
func TestJournalModeChanges(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pylon.db")
	o := startOwner(t, path)
	s := open(t, path, auth.SessionOptions{ReadOnly: true})
	for n, mode := range []string{"DELETE", "WAL", "TRUNCATE", "WAL"} {
		o.do("PRAGMA journal_mode = " + mode)
		token := fmt.Sprint("token", n)
		o.add(token)
		authenticate(t, s, token)
	}
}

// What is copied is for nobody else's eyes, and goes when the store is closed, or when another one is opened
// by whoever comes after a process that was killed.
func TestPrivateCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "pylon.db")
	startOwner(t, path)
	left := filepath.Join(dir, "busbar-sessions-copy-1")
	must(t, os.Mkdir(left, 0o700))
	copies := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "busbar-sessions-copy-*"))
		must(t, err)
		return found
	}
	s := open(t, path, auth.SessionOptions{ReadOnly: true, CopyDir: dir})
	other := open(t, path, auth.SessionOptions{ReadOnly: true, CopyDir: dir})
	found := copies()
	if len(found) != 2 || slices.Contains(found, left) {
		t.Errorf("of two stores and one that was killed there are %v", found)
	}
	must(t, filepath.Walk(found[0], func(name string, info os.FileInfo, err error) error {
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[info.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		return err
	}))
	unauthorized(t, s, "nobody's")
	unauthorized(t, other, "nobody's")
	must(t, s.Close())
	must(t, other.Close())
	if found := copies(); len(found) > 0 {
		t.Errorf("%v are left", found)
	}
}

// BenchmarkLookup is a token that isn't cached, of a foreign file that its owner has open.
func BenchmarkLookup(b *testing.B) {
	path := filepath.Join(b.TempDir(), "pylon.db")
	o := startOwner(b, path)
	o.do("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) " +
		"INSERT INTO _pylon_sessions SELECT 'token ' || i, 'user ' || i, 0, 0, NULL, NULL FROM n")
	for _, readers := range []int{1, 64} {
		b.Run(fmt.Sprint("readers=", readers), func(b *testing.B) {
			s, err := auth.OpenSessions(path, auth.SessionOptions{ReadOnly: true, Log: quiet, CacheEntries: 1})
			must(b, err)
			defer s.Close()
			var next atomic.Int64
			b.SetParallelism(readers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_, err := s.Authenticate(b.Context(), fmt.Sprint("token ", next.Add(1)%100_000))
					must(b, err)
				}
			})
		})
	}
}
