//go:build !race && !racedaemon

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// printed makes a file of a program as docs/auth.md has it: the code block whose first line names
// the file. It returns the command that runs it.
func printed(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	for fence, run := range map[string]string{"```python\n": "/usr/bin/python3", "```javascript\n": "node"} {
		for _, block := range strings.Split(string(text), fence)[1:] {
			program, _, _ := strings.Cut(block, "```\n")
			if first, _, _ := strings.Cut(program, "\n"); strings.Contains(first, " "+name+": ") {
				return []string{run, makeFile(t, filepath.Join(t.TempDir(), name), program, 0o600)}
			}
		}
	}
	t.Fatalf("docs/auth.md has no program %s", name)
	return nil
}

// output runs a program to its end and returns what it printed.
func (d docs) output(name string, args ...string) string {
	d.t.Helper()
	command := append(printed(d.t, name), args...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("%q: %v", command, err)
	}
	return strings.TrimSpace(string(out))
}

// serve runs a service on a port that is free, and returns the first lines that it prints.
func (d docs) serve(name string, lines int) []string {
	d.t.Helper()
	command := append(printed(d.t, name), "0")
	cmd := exec.Command(command[0], command[1:]...)
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Fatalf("%q: %v", command, err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var printed []string
	for r := bufio.NewReader(stdout); len(printed) < lines; {
		line, err := r.ReadString('\n')
		if err != nil {
			d.t.Fatalf("%q: %v", command, err)
		}
		printed = append(printed, strings.TrimSpace(line))
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return printed
}

type docs struct{ t *testing.T }

// isAlice fails unless the token is alice's for the daemon, and a wrong one is refused for cause.
func isAlice(t *testing.T, d *daemon, token, wrong, cause string) *goClient {
	t.Helper()
	d.secret = append(d.secret, token, wrong)
	c := d.connect(token)
	c.send(`{"type":"presence"}`)
	if m := waitType(c, "presence"); m.From != "alice" {
		t.Errorf("presence from %q", m.From)
	}
	if me := d.call("GET", "/api/auth/me", token, ""); !strings.Contains(me.body, `"user_id":"alice"`) {
		t.Errorf("the API takes it for %s", me.body)
	}
	const invalid = "unauthorized: token invalid or expired"
	if reason := waitClose(t, startGoClient(t, d.url(""), wrong, "header"), 1008); reason != invalid {
		t.Errorf("a wrong token is refused with %q", reason)
	}
	if pull := d.call("GET", "/api/sync/pull", wrong, ""); pull.status != 401 || !strings.Contains(pull.body, "invalid or expired") {
		t.Errorf("pulling with it: %d %s", pull.status, pull.body)
	}
	if n := d.metric(`busbar_auth_refused_total{cause="` + cause + `"}`); n != 2 {
		t.Errorf("%v tokens are counted as refused for %s, want 2", n, cause)
	}
	if log := d.log.String(); strings.Count(log, "cause="+cause) == 0 {
		t.Errorf("the log doesn't say %s:\n%s", cause, log)
	}
	if reason := waitClose(t, startGoClient(t, d.url(""), "", "header"), 1008); reason != "unauthorized: bearer token required" {
		t.Errorf("without a token: %q", reason)
	}
	return c
}

// The programs of docs/auth.md do what it says, just as they stand there.
func TestProgramsOfTheDocs(t *testing.T) {
	t.Parallel()
	t.Run("sessions", func(t *testing.T) {
		db := filepath.Join(t.TempDir(), "app.db")
		token := docs{t}.output("session.py", db, "alice")
		c := isAlice(t, startDaemon(t, "-sessions-db", db), token, "another", "unknown_session")
		sqlite(t, db, `DELETE FROM _pylon_sessions`).Close()
		if reason := waitClose(t, c, 1008); reason != "session revoked" {
			t.Errorf("after the row was deleted: %q", reason)
		}
	})
	t.Run("secret", func(t *testing.T) {
		make := exec.Command("sh", "-c", "head -c 32 /dev/urandom | base64 > secret")
		make.Dir = t.TempDir()
		if out, err := make.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		secret := filepath.Join(make.Dir, "secret")
		token := docs{t}.output("token.py", secret, "alice")
		isAlice(t, startDaemon(t, "-auth", "jwt", "-jwt-key", secret), token, token[:len(token)-10]+"AAAAAAAAAA", "signature")
	})
	t.Run("key set", func(t *testing.T) {
		lines := docs{t}.serve("keys.mjs", 2)
		head, rest, _ := strings.Cut(lines[1], ".")
		isAlice(t, startDaemon(t, "-auth", "jwt", "-jwt-jwks", lines[0]), lines[1], rest+"."+head, "malformed")
	})
	t.Run("service", func(t *testing.T) {
		url := docs{t}.serve("auth.py", 1)[0]
		isAlice(t, startDaemon(t, "-auth", "http", "-auth-url", url), "alices-token", "another", "service_said_401")
	})
	t.Run("rows", func(t *testing.T) {
		d := startDaemon(t, "-rows-url", docs{t}.serve("rows.mjs", 1)[0])
		alice, bob := d.connect(d.session("alice")), d.connect(d.session("bob"))
		for _, c := range []peer{alice, bob} {
			c.send(`{"type":"crdt-subscribe","entity":"Todo","rowId":"t_1"}`)
		}
		wantFrame(t, alice, 0x10, "Todo", "t_1", "milk")
		eventually(t, "bob's subscription denied", func() bool { return d.metric("busbar_row_subscriptions_denied_total") == 1 })
	})
	t.Run("views", func(t *testing.T) {
		d := startDaemon(t, "-snapshot-url", docs{t}.serve("view.py", 1)[0])
		for user, want := range map[string]message{"alice": {Seq: 3, RowID: "t_1"}, "bob": {Seq: 7, RowID: "t_2"}} {
			c := startGoClient(t, d.url("?since=0"), d.session(user), "header")
			if m := waitChange(c); m.Seq != want.Seq || m.RowID != want.RowID {
				t.Errorf("%s got %+v", user, m)
			}
			seq := d.publish("t_3")
			c.wait(soon, "what is published then", func(e clientEvent) bool { return parse(e).Seq == seq })
		}
	})
}
