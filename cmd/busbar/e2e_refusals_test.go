//go:build !race && !racedaemon

package main

import (
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// nobody is a user who may not do what root may. When the tests' own user isn't root, that user will do.
func nobody() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: 65534, Gid: 65534}
}

// openDir is a directory that nobody can write to. t.TempDir's can only be entered by this user.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(built, "data-")
	if err == nil {
		err = os.Chmod(dir, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func makeFile(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// sqlite runs statements on the database at path, and returns it open.
func sqlite(t *testing.T, path string, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return db
}

// refusal is a start that fails.
type refusal struct {
	name string
	// arrange makes what is wrong, and returns how to start: "-data" is added when it isn't there.
	arrange func(t *testing.T) launch
	code    int
	want    string // regular expression for the one line on standard error
}

var refusals = []refusal{
	{"data directory without permission", func(t *testing.T) launch {
		dir := openDir(t)
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		return launch{user: nobody(), args: []string{"-data", dir}}
	}, 1, `data directory ".*": can't write to it: permission denied; let user \d+ write there, or name another with -data`},

	{"data directory is a file", func(t *testing.T) launch {
		return launch{args: []string{"-data", makeFile(t, filepath.Join(t.TempDir(), "f"), "", 0o600)}}
	}, 1, `data directory ".*/f": can't make it: not a directory .*`},

	{"unreadable database", func(t *testing.T) launch {
		dir := openDir(t)
		makeFile(t, filepath.Join(dir, "busbar.db"), "", 0)
		return launch{user: nobody(), args: []string{"-data", dir}}
	}, 1, `open sessions database .*/busbar\.db: permission denied`},

	{"database that is no database", func(t *testing.T) launch {
		dir := t.TempDir()
		makeFile(t, filepath.Join(dir, "busbar.db"), strings.Repeat("no database ", 100), 0o600)
		return launch{args: []string{"-data", dir}}
	}, 1, `open sessions database .*/busbar\.db: not an SQLite database`},

	{"foreign SQLite file", func(t *testing.T) launch {
		path := filepath.Join(t.TempDir(), "other.db")
		sqlite(t, path, `CREATE TABLE bills (id INTEGER)`).Close()
		return launch{args: []string{"-sessions-db", path}}
	}, 1, `open sessions database .*/other\.db: table _pylon_sessions is not as expected: it doesn't exist`},

	{"absent SQLite file", func(t *testing.T) launch {
		return launch{args: []string{"-sessions-db", filepath.Join(t.TempDir(), "none.db")}}
	}, 1, `open sessions database .*/none\.db: no such file or directory`},

	{"locked database", func(t *testing.T) launch {
		dir := t.TempDir()
		sqlite(t, filepath.Join(dir, "busbar.db"), `CREATE TABLE x (y)`, `BEGIN EXCLUSIVE`, `INSERT INTO x VALUES (1)`)
		return launch{args: []string{"-data", dir}}
	}, 1, `open sessions database .*/busbar\.db: locked by another process`},

	{"absent admin token file", func(t *testing.T) launch {
		return launch{args: []string{"-admin-token-file", filepath.Join(t.TempDir(), "none")}}
	}, 1, `admin token file: open .*/none: no such file or directory`},

	{"empty admin token file", func(t *testing.T) launch {
		return launch{args: []string{"-admin-token-file", makeFile(t, filepath.Join(t.TempDir(), "token"), "\n", 0o600)}}
	}, 1, `admin token file .*/token: bad admin token: it is empty`},

	{"admin token file with two lines", func(t *testing.T) launch {
		return launch{args: []string{"-admin-token-file", makeFile(t, filepath.Join(t.TempDir(), "token"), "one\ntwo\n", 0o600)}}
	}, 1, `admin token file .*/token: bad admin token: it has to be one line of visible ASCII`},

	{"admin token of two words", func(t *testing.T) launch {
		return launch{env: []string{"BUSBAR_ADMIN_TOKEN=two words"}}
	}, 1, `admin token from the environment: bad admin token: it has to be one line of visible ASCII`},

	{"JWT secret too short", func(t *testing.T) launch {
		return launch{args: []string{"-auth", "jwt", "-jwt-key", makeFile(t, filepath.Join(t.TempDir(), "key"), "short", 0o600)}}
	}, 1, `-auth jwt: .*/key: the secret has 5 bytes; HS256 needs 32 or more .*`},

	{"absent JWT key", func(t *testing.T) launch {
		return launch{args: []string{"-auth", "jwt", "-jwt-key", filepath.Join(t.TempDir(), "none")}}
	}, 1, `-auth jwt: .*/none: no such file or directory`},

	{"change log that is none", func(t *testing.T) launch {
		dir := t.TempDir()
		makeFile(t, filepath.Join(dir, "changes.db"), strings.Repeat("many\n", 100), 0o600)
		return launch{args: []string{"-data", dir}}
	}, 1, `open change log .*/changes\.db: not an SQLite database; restore it from a backup .*, or move it away, .*`},

	{"too few descriptors", func(*testing.T) launch {
		return launch{descriptors: 30}
	}, 1, `descriptor limit too low: 30 descriptors, .*`},

	{"unknown flag", flags("-max-per-ips", "3"), 2, `-max-per-ips: no such flag; did you mean -max-per-ip\?`},
	{"wrong value", flags("-loops", "many"), 2, `-loops: "many" isn't a whole number from 0 to 128`},
	{"value without its companion", flags("-auth", "http"), 2, `-auth: "http" needs -auth-url`},
	{"unknown command", func(*testing.T) launch { return launch{args: []string{"server"}} }, 2,
		`"server" isn't a command; there are serve, reload, session, publish, tail, log, config, doctor, health, why, help and version; -help says more`},
}

func flags(args ...string) func(*testing.T) launch {
	return func(*testing.T) launch { return launch{args: args} }
}

// docs/protocol.md section 7: what stands in the way of a start is said in one line, with exit code 1, or 2 for what was asked.
func TestRefusalsToStart(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			l := test.arrange(t)
			if test.code == 1 {
				l.args = append([]string{"-listen", "127.0.0.1:0", "-api", "127.0.0.1:0", "-data", t.TempDir()}, l.args...)
			}
			wantRefusal(t, l, test.code, test.want)
		})
	}
}

func wantRefusal(t *testing.T, l launch, code int, want string) {
	t.Helper()
	out, err, got := l.run(t)
	if got != code || out != "" {
		t.Errorf("exit code %d, want %d, and standard output %q", got, code, out)
	}
	if !regexp.MustCompile(`^busbar: ` + want + `\n$`).MatchString(err) {
		t.Errorf("standard error: %q\nwant one line: %s", err, want)
	}
}

// One directory, one server: a second one would give out the same sequence numbers.
func TestSecondServerOnTheSameData(t *testing.T) {
	d := commonDaemon(t)
	c := d.connect(d.session("alice"))
	wantRefusal(t, launch{args: []string{"-data", d.dir, "-listen", "127.0.0.1:0", "-api", "127.0.0.1:0"}}, 1,
		`another busbar serves from ".*"; stop it, or name another directory with -data`)
	if seq := d.publish("t_1"); waitChange(c).Seq != seq {
		t.Error("the first server lost an event")
	}
}

// A port in use costs nobody a connection: the other port isn't opened for service meanwhile.
func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"-listen", "-api"} {
		t.Run(flag, func(t *testing.T) {
			other, free := "-api", wstest.FreeAddress(t)
			if flag == "-api" {
				other = "-listen"
			}
			args := []string{flag, taken.Addr().String(), other, free, "-data", t.TempDir()}
			served := make(chan bool)
			stop := make(chan struct{})
			go func() { served <- answersAt(free, stop) }()
			wantRefusal(t, launch{args: args}, 1, `.*`+regexp.QuoteMeta(taken.Addr().String())+`.*address already in use.*`)
			close(stop)
			if <-served {
				t.Errorf("%s was served though %s couldn't be", other, flag)
			}
			again, err := net.Listen("tcp", free)
			if err != nil {
				t.Fatalf("the other port is still taken: %v", err)
			}
			again.Close()
		})
	}
}

// A server that waits for NATS takes no connection that it would serve later.
func TestNothingIsTakenByAServerThatWaits(t *testing.T) {
	ws, api := wstest.FreeAddress(t), wstest.FreeAddress(t)
	waits := launch{args: []string{"-data", t.TempDir(), "-listen", ws, "-api", api, "-log", "nats", "-node", "1", "-nats", "nats://" + wstest.FreeAddress(t)}}.command()
	log := newOutput()
	waits.Stderr = log
	if err := waits.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = waits.Process.Kill()
		_ = waits.Wait()
	}()
	eventually(t, "it waits", func() bool { return strings.Contains(log.String(), "waiting for NATS") })
	for _, address := range []string{ws, api} {
		if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, %v", address, conn, err)
		}
	}
}

// The WebSocket's listeners share their port, which must not let another server's in.
func TestPortOfAnotherServer(t *testing.T) {
	d := commonDaemon(t)
	token := d.session("alice")
	wantRefusal(t, launch{args: []string{"-data", t.TempDir(), "-listen", d.ws, "-api", "127.0.0.1:0"}}, 1,
		`.*`+regexp.QuoteMeta(d.ws)+`.*address already in use.*`)
	for range 10 {
		d.connect(token).terminate()
	}
}

// answersAt says whether anything at address answers a request before stop is closed.
func answersAt(address string, stop <-chan struct{}) bool {
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-stop:
			return false
		case <-pace.C:
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(soon))
		_, _ = conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
		n, _ := conn.Read(make([]byte, 1))
		conn.Close()
		if n > 0 {
			return true
		}
	}
}
