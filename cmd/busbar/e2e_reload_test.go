//go:build !race && !racedaemon

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub/httpapi"
)

// docs/protocol.md section 7, Reloading: what is in the files counts once they are read again, what takes a restart is named,
// and a bad file changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	const oldToken, newToken, newSecret = "the-first-admin-token", "the-second-admin-token", "another secret of more than thirty-two bytes"
	dir := t.TempDir()
	file := func(name, text string) string { return makeFile(t, filepath.Join(dir, name), text, 0o600) }
	key, token, conf := file("key", jwtSecret), file("token", oldToken+"\n"), filepath.Join(dir, "busbar.conf")
	const rest = "jwt-key = %s\nadmin-token-file = %s\nauth = jwt\n"
	file("busbar.conf", fmt.Sprintf(rest, key, token)+"max-per-ip = 9\n")
	d := launch{args: []string{"-config", conf}}.prepare(t)
	d.run()
	d.admin = oldToken
	signs := func(secret string) string {
		return signed(t, secret, jwt.MapClaims{"sub": "u", "exp": time.Now().Add(time.Hour).Unix()})
	}
	admits := func(secret string) bool {
		return d.call("GET", "/api/sync/pull?since=0", signs(secret), "").status != 401
	}
	reload := func(token string) commandOutcome {
		return runCommand("", []string{"BUSBAR_ADMIN_TOKEN=" + token}, "reload", "-api", d.api)
	}
	if o := reload(oldToken); o.code != exitOK || o.out != "nothing has changed\n" {
		t.Fatalf("%+v", o)
	}
	d.publishMany(20)
	d.rawClient("127.0.0.9", signs(jwtSecret), "")

	file("busbar.conf", fmt.Sprintf(rest, key, token)+"max-per-ip = 1\norigins = https://a.example\n"+
		"log-events = 5\nlog-level = debug\nmax-message-in = 1MiB\nmax-message-out = 64MiB\n")
	file("key", newSecret)
	file("token", newToken)
	var done httpapi.Reloaded
	d.adminCall("POST", "/v1/reload", "", &done)
	want := httpapi.Reloaded{
		Changed: []string{"max-per-ip", "origins", "max-message-in", "log-events", "log-level"},
		Files:   []string{"admin-token-file", "jwt-key"}, Restart: []string{"max-message-out"},
	}
	if !reflect.DeepEqual(done, want) {
		t.Errorf("got %+v, want %+v", done, want)
	}
	d.checkReloaded(oldToken, newToken)
	if !admits(newSecret) || admits(jwtSecret) {
		t.Error("it goes by the first key")
	}
	if _, err := d.dialFrom("127.0.0.9", signs(newSecret), ""); err == nil {
		t.Error("an address has more connections than the new limit")
	}
	if d.publish("r"); d.metric("busbar_clients") != 1 {
		t.Error("who was connected has gone")
	}

	for _, bad := range []string{"max-per-ip = x\n", "log-events = 1\nnonsense = 1\n", "log-events = 1\nmax-message-in = 64MiB\n"} {
		file("busbar.conf", fmt.Sprintf(rest, key, token)+bad)
		reload(newToken).want(t, exitFailure, "BAD_CONFIG", "nothing was changed")
	}
	file("busbar.conf", fmt.Sprintf(rest, filepath.Join(dir, "gone"), token)+"log-events = 1\n")
	reload(newToken).want(t, exitFailure, "JWT key file", "nothing was changed")
	_ = d.cmd.Process.Signal(syscall.SIGHUP)
	d.waitOutput(d.log, "line about SIGHUP", func(text string) bool { return strings.Contains(text, "the configuration is as it was") })
	d.admin = newToken
	d.checkReloaded(oldToken, newToken)

	file("busbar.conf", fmt.Sprintf(rest, key, token))
	_ = d.cmd.Process.Signal(syscall.SIGHUP)
	d.waitOutput(d.log, "line about SIGHUP", func(text string) bool { return strings.Count(text, "changed=\"[max-per-ip origins") == 2 })
	if o := reload(newToken); o.out != "nothing has changed\n" {
		t.Errorf("%+v", o)
	}
}

// checkReloaded looks at what TestReload has changed, from outside.
func (d *daemon) checkReloaded(oldToken, newToken string) {
	d.t.Helper()
	if r := d.call("GET", "/v1/stats", oldToken, ""); r.status != 401 {
		d.t.Errorf("the first admin token: %d", r.status)
	}
	d.admin = newToken
	var level struct{ Level string }
	if d.adminCall("GET", "/v1/log-level", "", &level); level.Level != "debug" {
		d.t.Errorf("the log's level is %s", level.Level)
	}
	if r := d.call("GET", "/healthz", "", "", "Origin", "https://a.example"); r.header.Get("Access-Control-Allow-Origin") == "" {
		d.t.Error("the new origin isn't allowed")
	}
	eventually(d.t, "the log has let go of events", func() bool {
		return d.metric("busbar_change_log_last_seq")-d.metric("busbar_change_log_oldest_seq") == 4
	})
}

// A reload makes no admin token where the data directory's has gone: the one in force stays, whether the rest is good or not.
func TestReloadWithoutTheAdminTokensFile(t *testing.T) {
	t.Parallel()
	const named = "a-token-in-a-file-of-its-own"
	dir := t.TempDir()
	file := func(name, text string) string { return makeFile(t, filepath.Join(dir, name), text, 0o600) }
	rest := "auth = jwt\njwt-key = " + file("key", jwtSecret) + "\n"
	d := launch{args: []string{"-config", file("busbar.conf", rest)}}.prepare(t)
	d.run()
	path := filepath.Join(d.dir, "admin-token")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	reload := func(text string, status int) {
		t.Helper()
		file("busbar.conf", text)
		if r := d.call("POST", "/v1/reload", d.admin, ""); r.status != status || strings.Contains(r.body, "admin-token-file") {
			t.Errorf("%q: %d %s", text, r.status, r.body)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%q: a reload has made %s (%v)", text, path, err)
		}
	}
	reload("auth = jwt\njwt-key = "+filepath.Join(dir, "gone")+"\n", 400)
	if strings.Contains(d.log.String(), path) {
		t.Error("a reload that fails says that it keeps the token")
	}
	reload(rest+"max-per-ip = 9\n", 200)
	d.waitOutput(d.log, "line about the token", func(text string) bool {
		return strings.Contains(text, path+" isn't there: the admin token stays as it is")
	})
	var done httpapi.Reloaded
	file("busbar.conf", rest+"admin-token-file = "+file("token", named)+"\n")
	d.adminCall("POST", "/v1/reload", "", &done)
	if d.admin = named; !reflect.DeepEqual(done.Files, []string{"admin-token-file"}) {
		t.Errorf("got %+v", done)
	}
	file("busbar.conf", rest) // and back, to a file that isn't there
	d.adminCall("POST", "/v1/reload", "", nil)
	d.adminCall("GET", "/v1/stats", "", nil)
}

// A file that hangs, as on a network's file system, keeps nobody from ending the server.
func TestDrainDuringAReloadThatHangs(t *testing.T) {
	t.Parallel()
	conf := makeFile(t, filepath.Join(t.TempDir(), "busbar.conf"), "max-per-ip = 9\n", 0o600)
	d := launch{args: []string{"-config", conf}}.prepare(t)
	d.run()
	if err := errors.Join(os.Remove(conf), syscall.Mkfifo(conf, 0o600)); err != nil {
		t.Fatal(err)
	}
	_ = d.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, "the server reads the file", func() bool { // until then there is nobody to write to
		fd, err := syscall.Open(conf, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err == nil {
			t.Cleanup(func() { _ = syscall.Close(fd) })
		}
		return err == nil
	})
	d.stop()
}
