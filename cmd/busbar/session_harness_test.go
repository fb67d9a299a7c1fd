package main

import (
	"bytes"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/logqueue"
)

// commandOutcome is what a command did.
type commandOutcome struct {
	code     int
	out, err string
}

// runCommand runs one in this process, as a shell would: with in as its standard input and
// env as NAME=value.
func runCommand(in string, env []string, args ...string) commandOutcome {
	var out, errs bytes.Buffer
	code := run(args, streams{strings.NewReader(in), &out, &errs, getenvOf(env), func() []string { return env }})
	return commandOutcome{code, out.String(), errs.String()}
}

func getenvOf(env []string) func(string) string {
	return func(name string) string {
		for _, pair := range env {
			if k, v, _ := strings.Cut(pair, "="); k == name {
				return v
			}
		}
		return ""
	}
}

// want fails unless the command ended with code; what went to standard error has to hold
// each of the words, on one line when the code isn't 0.
func (o commandOutcome) want(t *testing.T, code int, words ...string) {
	t.Helper()
	if o.code != code {
		t.Fatalf("exit code %d, want %d; standard error: %s", o.code, code, o.err)
	}
	for _, word := range words {
		if !strings.Contains(o.err, word) {
			t.Errorf("standard error lacks %q: %s", word, o.err)
		}
	}
	if code != exitOK && strings.Count(o.err, "\n") != 1 {
		t.Errorf("standard error isn't one line: %q", o.err)
	}
}

// runningServer is a server in this process, and the flags that lead to it.
type runningServer struct {
	*server
	data, api, url string
}

// startInProcess runs a real server on free ports until the test ends.
func startInProcess(t *testing.T, data string, flags ...string) *runningServer {
	t.Helper()
	r, stop, err := openInProcess(data, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	})
	return r
}

func openInProcess(data string, flags ...string) (r *runningServer, stop func() error, err error) {
	flags = append([]string{"-listen", "127.0.0.1:0", "-api", "127.0.0.1:0", "-data", data, "-loops", "1", "-drain", "1s"}, flags...)
	cfg, err := parseOptions(flags, getenvOf(nil))
	if err != nil {
		return nil, nil, err
	}
	logs := logqueue.New(io.Discard)
	level := new(slog.LevelVar)
	srv, err := open(cfg, newLogger(cfg, logs, level), level, logs)
	if err != nil {
		return nil, nil, err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.http.Serve(srv.api)
	}()
	stop = func() error {
		err := srv.close()
		<-served
		logs.Close(time.Minute)
		return err
	}
	return &runningServer{server: srv, data: data, api: srv.api.Addr().String(), url: "ws://" + srv.hub.Addr().String()}, stop, nil
}

// shared is a server for tests that don't run in parallel and leave it as they found it, but for sessions and stored
// rows. Nobody is told of clients that have left: they would be another test's. It is started by the first of them.
var shared struct {
	*runningServer
	stop func() error
}

func sharedServer(t *testing.T) *runningServer {
	t.Helper()
	if shared.runningServer == nil {
		var err error
		if shared.runningServer, shared.stop, err = openInProcess(filepath.Join(built, "shared-data"), "-relays", "off"); err != nil {
			t.Fatal(err)
		}
	}
	return shared.runningServer
}

func stopShared() error {
	if shared.stop == nil {
		return nil
	}
	return shared.stop()
}

func newSessionIn(t *testing.T, data string, flags ...string) string {
	t.Helper()
	o := runCommand("", nil, append([]string{"session", "create", "-data", data}, flags...)...)
	o.want(t, exitOK)
	token := strings.TrimSuffix(o.out, "\n")
	if token == "" || strings.ContainsAny(token, " \n") {
		t.Fatalf("standard output holds more than the token: %q", o.out)
	}
	return token
}
