package auth_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/auth"
)

// ownUntilEnd is another process that has a database in WAL mode open until its input ends: it does what each line says.
func ownUntilEnd(path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_busy_timeout=5000")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if _, err := db.Exec(lines.Text()); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("ok")
	}
	return db.Close()
}

// owner is such a process.
type owner struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func startOwner(t testing.TB, path string) *owner {
	t.Helper()
	o := &owner{t: t, cmd: exec.Command(os.Args[0], childMark, "own", path)}
	out, err := o.cmd.StdoutPipe()
	must(t, err)
	o.in, err = o.cmd.StdinPipe()
	must(t, err)
	must(t, o.cmd.Start())
	o.lines = bufio.NewScanner(out)
	t.Cleanup(func() { o.in.Close(); o.cmd.Wait() })
	o.exec("PRAGMA journal_mode = WAL")
	o.exec(strings.ReplaceAll(strings.ReplaceAll(pylonTable, "\n", " "), "CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
	return o
}

func (o *owner) exec(statement string) {
	o.t.Helper()
	_, err := fmt.Fprintln(o.in, statement)
	must(o.t, err)
	if !o.lines.Scan() || o.lines.Text() != "ok" {
		o.t.Fatalf("%s: %q, %v", statement, o.lines.Text(), o.lines.Err())
	}
}

func (o *owner) add(token string) {
	o.t.Helper()
	o.exec(fmt.Sprintf("INSERT INTO _pylon_sessions VALUES ('%s', 'user of %[1]s', 0, 0, NULL, NULL)", token))
}

// close ends the process in order: it closes the database.
func (o *owner) close() {
	o.t.Helper()
	must(o.t, o.in.Close())
	must(o.t, o.cmd.Wait())
}

// tokensIn are those in the main file alone, which is what a copy of it holds.
func tokensIn(t *testing.T, path string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy.db")
	out, err := exec.Command("cp", path, copied).CombinedOutput() // no descriptor of the file in this process
	if err != nil {
		t.Fatalf("%s", out)
	}
	db, err := sql.Open("sqlite", copied)
	must(t, err)
	defer db.Close()
	var tokens sql.NullString
	must(t, db.QueryRow(`SELECT group_concat(token, ' ') FROM (SELECT token FROM _pylon_sessions ORDER BY token)`).Scan(&tokens))
	return tokens.String
}

// closedInOrder waits until the files are gone that are there while a database in WAL mode is open.
func closedInOrder(t *testing.T, path string) {
	t.Helper()
	eventually(t, "the -wal and the -shm are gone", func() bool {
		left, err := filepath.Glob(path + "-*")
		return err == nil && len(left) == 0
	})
}

// docs/protocol.md section 4: the owner of a database in WAL mode may close it, copy it, and put a backup in its
// place while Busbar runs: everybody reads what is there.
func TestOwnerCopiesAndRestores(t *testing.T) {
	for name, restore := range map[string]func(backup, path string) *exec.Cmd{
		"another file in its place": func(backup, path string) *exec.Cmd { return exec.Command("mv", backup, path) },
		"overwritten":               func(backup, path string) *exec.Cmd { return exec.Command("cp", backup, path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(openDir(t), "pylon.db")
			o := startOwner(t, path)
			o.add("first")
			var gone revoked
			s := open(t, path, auth.SessionOptions{ReadOnly: true, OnRevoked: gone.add})
			first := authenticate(t, s, "first")
			o.close()
			closedInOrder(t, path)
			backup := path + ".backup"
			must(t, exec.Command("cp", path, backup).Run())

			o = startOwner(t, path)
			o.add("second")
			second := authenticate(t, s, "second")
			eventually(t, "nothing is open between looks", func() bool { return !opened(path) })
			o.close()
			closedInOrder(t, path)
			if got := tokensIn(t, path); got != "first second" {
				t.Errorf("a copy holds %q", got)
			}
			must(t, restore(backup, path).Run())
			eventually(t, "what the backup lacks is revoked", func() bool { return gone.has(second) })
			unauthorized(t, s, "second")
			if authenticate(t, s, "first") != first || gone.has(first) {
				t.Error("a session that is in the backup was revoked")
			}
			if got := tokensIn(t, path); got != "first" {
				t.Errorf("the restored file holds %q", got)
			}
			o = startOwner(t, path)
			o.add("third")
			authenticate(t, s, "third")
			o.exec("DELETE FROM _pylon_sessions WHERE token = 'first'")
			eventually(t, "a session that the owner ends is revoked", func() bool { return gone.has(first) })
			o.close()
			closedInOrder(t, path)
			if got := tokensIn(t, path); got != "third" {
				t.Errorf("in the end the file holds %q", got)
			}
		})
	}
}

// opened reports whether this process has the file open, or its -wal or -shm.
func opened(path string) bool {
	for _, to := range openFiles() {
		if strings.HasPrefix(to, path) {
			return true
		}
	}
	return false
}

// The owner closes in the middle of one look or another: whoever is the last one leaves all of
// it in the main file.
func TestOwnerClosesUnderLoad(t *testing.T) {
	path := filepath.Join(openDir(t), "pylon.db")
	o := startOwner(t, path)
	s := open(t, path, auth.SessionOptions{ReadOnly: true})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				unauthorized(t, s, fmt.Sprint("nobody's ", n))
			}
		}
	}()
	defer func() { close(stop); <-done }()
	want := ""
	for n := range 10 {
		token := fmt.Sprint("token", n)
		o.add(token)
		want = strings.TrimSpace(want + " " + token)
		if id := authenticate(t, s, token); *id != (hub.Identity{UserID: "user of " + token}) {
			t.Errorf("%+v", id)
		}
		o.close()
		closedInOrder(t, path)
		if got := tokensIn(t, path); got != want {
			t.Fatalf("a copy holds %q, want %q", got, want)
		}
		o = startOwner(t, path)
	}
}

// BenchmarkLookup is a token that isn't cached, of a foreign file that its owner has open.
func BenchmarkLookup(b *testing.B) {
	path := filepath.Join(b.TempDir(), "pylon.db")
	o := startOwner(b, path)
	o.exec("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) " +
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
