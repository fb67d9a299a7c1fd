package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/datadir"
)

// Who is in the wrong folder sees it: the token would be refused by the server, without a reason.
func TestSessionCreateSaysThatItMadeAStore(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	first := runCommand("", nil, "session", "create", "-user", "alice", "-data", data)
	first.want(t, exitOK, "new session store", data)
	if n := strings.Count(first.out, "\n"); n != 1 {
		t.Errorf("the token isn't alone: %q", first.out)
	}
	if again := runCommand("", nil, "session", "create", "-user", "alice", "-data", data); again.err != "" {
		t.Errorf("the store was there: %q", again.err)
	}
	for _, left := range []string{datadir.Dir(data).NATS(), disklog.MovedTo(datadir.Dir(data).ChangeLog())} {
		if err := os.Mkdir(left, 0o700); err != nil {
			t.Fatal(err)
		}
		runCommand("", nil, "session", "create", "-user", "alice", "-data", data).want(t, exitOK, "several nodes", data)
		if err := os.Remove(left); err != nil {
			t.Fatal(err)
		}
	}
}

// A server that doesn't know sessions says so in its data directory, while it serves, while it drains and behind that.
func TestSessionCreateSaysWhenNobodyKnowsIt(t *testing.T) {
	data := t.TempDir()
	create := func(want string) {
		t.Helper()
		o := runCommand("", nil, "session", "create", "-user", "alice", "-data", data)
		if o.want(t, exitOK); strings.Contains(o.err, "doesn't know this session") != (want != "") || !strings.Contains(o.err, want) {
			t.Errorf("it says %q, want %q", o.err, want)
		}
	}
	serve := func(args ...string) {
		t.Helper()
		srv := &server{cfg: parsed(t, args, nil), dir: datadir.Dir(data), log: slog.New(slog.DiscardHandler)}
		if err := srv.lock(); err != nil {
			t.Fatal(err)
		}
		create(srv.cfg.otherAuth())
		if err := srv.locked.Drain(); err != nil {
			t.Fatal(err)
		}
		create(srv.cfg.otherAuth())
		if err := srv.locked.Close(); err != nil {
			t.Fatal(err)
		}
		create(srv.cfg.otherAuth())
	}
	create("")
	serve("-auth", "jwt", "-jwt-key", "key")
	serve("-sessions-db", "pylon.db")
	serve()
}

func TestSessionListOfAnEmptyStore(t *testing.T) {
	data := t.TempDir()
	newSessionIn(t, data, "-user", "alice")
	if o := runCommand("", nil, "session", "list", "-data", data); o.err != "" {
		t.Errorf("there is one: %q", o.err)
	}
	id := strings.Fields(runCommand("", nil, "session", "list", "-data", data).out)[6]
	runCommand("", nil, "session", "revoke", "-data", data, id).want(t, exitOK)
	for _, format := range []string{"-json", "-json=false"} {
		o := runCommand("", nil, "session", "list", "-data", data, format)
		o.want(t, exitOK, "no sessions", data)
		if o.out != "" {
			t.Errorf("%s: %q", format, o.out)
		}
	}
}

// docs/protocol.md section 7: create prints the token alone, and makes the data directory without a server.
func TestSessionCreateWithoutAServer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "new", "data")
	token := newSessionIn(t, data, "-user", "alice", "-tenant", "acme", "-ttl", "1h", "-device", "phone")
	store, err := auth.OpenSessions(datadir.Dir(data).Database(), auth.SessionOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	id, err := store.Authenticate(context.Background(), token)
	if err != nil || id.UserID != "alice" || id.Tenant != "acme" || id.Expires.IsZero() {
		t.Errorf("the token stands for %+v, %v", id, err)
	}
}

func TestSessionListShowsNoToken(t *testing.T) {
	data := t.TempDir()
	forever := newSessionIn(t, data, "-user", "alice", "-ttl", "0", "-device", "a phone")
	escape := newSessionIn(t, data, "-user", "b\x1b[2Jb", "-tenant", "acme")
	for _, format := range []string{"-json=false", "-json"} {
		o := runCommand("", nil, "session", "list", "-data", data, format)
		o.want(t, exitOK)
		for _, token := range []string{forever, escape} {
			if strings.Contains(o.out, token) {
				t.Errorf("%s shows a token", format)
			}
			if !strings.Contains(o.out, auth.SessionID(token)) {
				t.Errorf("%s lacks id %s:\n%s", format, auth.SessionID(token), o.out)
			}
		}
		if strings.Contains(o.out, "\x1b") {
			t.Errorf("%s lets a user's name write to the terminal: %q", format, o.out)
		}
	}
	table := runCommand("", nil, "session", "list", "-data", data).out
	for _, want := range []string{"ID  ", "USER", "TENANT", "CREATED", "EXPIRES", "DEVICE", "alice", "never", "a phone", "acme"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}

func TestSessionListAsJSON(t *testing.T) {
	data := t.TempDir()
	token := newSessionIn(t, data, "-user", "alice", "-ttl", "0")
	var got map[string]any
	if err := json.Unmarshal([]byte(runCommand("", nil, "session", "list", "-json", "-data", data).out), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"id": auth.SessionID(token), "user_id": "alice", "tenant_id": nil, "device": nil, "expires_at": 0.0,
	} {
		if value, ok := got[key]; !ok || value != want {
			t.Errorf("%s is %v, want %v", key, value, want)
		}
	}
}

func TestSessionRevoke(t *testing.T) {
	for name, arguments := range map[string]func(token string) (in string, args []string){
		"token":          func(token string) (string, []string) { return "", []string{"--", token} },
		"id":             func(token string) (string, []string) { return "", []string{auth.SessionID(token)} },
		"start of id":    func(token string) (string, []string) { return "", []string{auth.SessionID(token)[:8]} },
		"standard input": func(token string) (string, []string) { return token + "\n", []string{"-"} },
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			token, other := newSessionIn(t, data, "-user", "alice"), newSessionIn(t, data, "-user", "bob")
			in, args := arguments(token)
			o := runCommand(in, nil, append([]string{"session", "revoke", "-data", data}, args...)...)
			if o.want(t, exitOK); o.out != "revoked\n" {
				t.Errorf("it says %q", o.out)
			}
			list := runCommand("", nil, "session", "list", "-data", data).out
			if strings.Contains(list, auth.SessionID(token)) || !strings.Contains(list, auth.SessionID(other)) {
				t.Errorf("left after revoking alice's:\n%s", list)
			}
			runCommand(in, nil, append([]string{"session", "revoke", "-data", data}, args...)...).want(t, exitFailure, "no such session")
		})
	}
}

func TestSessionMistakes(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		in    string
		args  []string
		code  int
		words []string
	}{
		{"", []string{}, exitUsage, []string{"create, list, revoke"}},
		{"", []string{"make"}, exitUsage, []string{`"make"`, "create, list, revoke"}},
		{"", []string{"create"}, exitUsage, []string{"-user"}},
		{"", []string{"create", "-user"}, exitUsage, []string{"-user: needs a value: an id"}},
		{"", []string{"create", "-user", "admin", "-data", empty}, exitUsage, []string{`"admin"`, "reserved"}},
		{"", []string{"create", "-user", "a", "-ttl", "-1h"}, exitUsage, []string{"-ttl"}},
		{"", []string{"create", "-user", "a", "-tenant", ""}, exitUsage, []string{"-tenant"}},
		{"", []string{"create", "-user", "\xff", "-api", "127.0.0.1:1"}, exitUsage, []string{"-user", `"\xff" isn't UTF-8`}},
		{"", []string{"create", "-user", "a", "-tennant", "x"}, exitUsage, []string{"-tenant"}},
		{"", []string{"create", "-user", strings.Repeat("a", 2000), "-data", empty}, exitUsage, []string{"1024 bytes"}},
		{"", []string{"list", "-data", filepath.Join(empty, "none")}, exitFailure, []string{"doesn't exist", "-data"}},
		{"", []string{"revoke", "-data", filepath.Join(empty, "none"), "0123456789abcdef"}, exitFailure, []string{"doesn't exist", "-data"}},
		{"", []string{"revoke"}, exitUsage, []string{"standard input"}},
		{"", []string{"revoke", "-"}, exitFailure, []string{"standard input", "empty"}},
		{"two\nlines", []string{"revoke", "-"}, exitFailure, []string{"one line"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			o := runCommand(c.in, nil, append([]string{"session"}, c.args...)...)
			o.want(t, c.code, c.words...)
			if o.out != "" {
				t.Errorf("standard output: %s", o.out)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(empty, "none")); err == nil {
		t.Error("list or revoke made the data directory")
	}
}

// docs/protocol.md section 7: while a server runs on the data directory these commands still work.
func TestSessionBesideAServer(t *testing.T) {
	srv := sharedServer(t)
	token := newSessionIn(t, srv.data, "-user", "alice")
	if id, err := srv.hub.Authenticate(context.Background(), token, netip.Addr{}); err != nil || id.UserID != "alice" {
		t.Fatalf("the server says about a new session: %+v, %v", id, err)
	}
	list := runCommand("", nil, "session", "list", "-data", srv.data)
	list.want(t, exitOK)
	if !strings.Contains(list.out, "alice") {
		t.Errorf("not in the list:\n%s", list.out)
	}
}

// The golden files are written by go test -update.
func TestCommandHelpIsGolden(t *testing.T) {
	for _, name := range []string{
		"session", "session create", "session list", "session revoke",
		"publish", "publish change", "publish changes", "publish presence", "publish topic", "publish row", "publish binary",
		"tail", "doctor", "health",
	} {
		t.Run(name, func(t *testing.T) {
			o := runCommand("", nil, append(strings.Fields(name), "-help")...)
			o.want(t, exitOK)
			if as := runCommand("", nil, append([]string{"help"}, strings.Fields(name)...)...); as != o {
				t.Errorf("busbar help %s: %+v", name, as)
			}
			golden := filepath.Join("testdata", "help_"+strings.ReplaceAll(name, " ", "_")+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(o.out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if o.out != string(want) {
				t.Errorf("help differs from %s; if it should, run go test ./cmd/busbar -update. It is now:\n%s", golden, o.out)
			}
			for line := range strings.Lines(o.out) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > cli.HelpWidth {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}
