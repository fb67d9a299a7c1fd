package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// soon bounds each wait for a client, the start of its interpreter included.
const soon = time.Minute

// maxClientLine bounds one line from a client, in bytes: a 16 MiB message in base64, and its JSON.
const maxClientLine = 32 << 20

// maxClientEvents is how many events may wait for the test. A client with more is no longer read from, which
// is felt by the server as a slow client.
const maxClientEvents = 4096

// clientEvent is one line that a client printed; testdata/node/client.mjs says which there are.
type clientEvent struct {
	Event    string `json:"event"`
	Protocol string `json:"protocol,omitempty"`
	Data     string `json:"data,omitempty"`
	Base64   []byte `json:"base64,omitempty"`
	Code     int    `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Message  string `json:"message,omitempty"`
	Status   int    `json:"status,omitempty"`
}

// clientProcess is a WebSocket client that somebody else wrote, running as a child. It is owned by the test
// that started it; only transcript is shared with the goroutines that read what the child prints.
type clientProcess struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events chan clientEvent // closed when the child has closed its standard output
	log    transcript
}

// startNodeClient connects with the ws package from npm. way is "header" or "subprotocol"; an empty token
// means no authentication.
func startNodeClient(t *testing.T, url, token, way string) *clientProcess {
	t.Helper()
	nodeModules(t, filepath.Join("testdata", "node"))
	return startClient(t, "node", filepath.Join("testdata", "node", "client.mjs"), url, token, way)
}

// startPythonClient connects with Debian's python3-websockets, which only Debian's own interpreter finds.
func startPythonClient(t *testing.T, url, token, way string) *clientProcess {
	t.Helper()
	return startClient(t, "/usr/bin/python3", filepath.Join("testdata", "python", "client.py"), url, token, way)
}

func startClient(t *testing.T, program string, args ...string) *clientProcess {
	t.Helper()
	p := &clientProcess{t: t, name: filepath.Base(program), cmd: exec.Command(program, args...)}
	p.events = make(chan clientEvent, maxClientEvents)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatalf("opening %s's standard input: %v", p.name, err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("opening %s's standard output: %v", p.name, err)
	}
	p.stdin = stdin
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	go p.read(stdout)
	t.Cleanup(p.stop)
	return p
}

// nodeModules installs in a folder what its package-lock.json pins, unless it is there already (scripts/install-test-tools).
func nodeModules(t *testing.T, dir string) {
	t.Helper()
	npmLock.Lock()
	defer npmLock.Unlock()
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil {
		return
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci in %s: %v\n%s", dir, err, out)
	}
}

var npmLock sync.Mutex

// read runs until the child's standard output ends. It must not fail the test: it isn't the test's goroutine.
func (p *clientProcess) read(stdout io.Reader) {
	defer close(p.events)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, maxClientLine)
	for lines.Scan() {
		p.log.add("< " + lines.Text())
		var e clientEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			p.log.add(fmt.Sprintf("! that is no event: %v", err))
			continue
		}
		p.events <- e
	}
	if err := lines.Err(); err != nil {
		p.log.add(fmt.Sprintf("! reading the client's output: %v", err))
	}
}

// stop ends the child by its own process id, and waits for it and for its reader.
func (p *clientProcess) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Kill()
	for range p.events { // the reader must reach the end before Wait closes the pipe
	}
	_ = p.cmd.Wait()
}

// send writes text as one text message.
func (p *clientProcess) send(text string) {
	p.t.Helper()
	p.command(map[string]any{"cmd": "send", "data": text})
}

// close starts a closing handshake; terminate drops the connection without one.
func (p *clientProcess) close(code int, reason string) {
	p.t.Helper()
	p.command(map[string]any{"cmd": "close", "code": code, "reason": reason})
}

func (p *clientProcess) terminate() {
	p.t.Helper()
	p.command(map[string]any{"cmd": "terminate"})
}

func (p *clientProcess) command(c map[string]any) {
	p.t.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		p.t.Fatalf("encoding a command for %s: %v", p.name, err)
	}
	p.log.add("> " + string(line))
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("sending a command to %s: %v\n%s", p.name, err, p.log.String())
	}
}

// wait returns the next event that match accepts and passes over the others. It fails the test when none
// comes within the given time or the client ends first; what says what was waited for.
func (p *clientProcess) wait(within time.Duration, what string, match func(clientEvent) bool) clientEvent {
	p.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				p.t.Fatalf("%s ended before %s\n%s", p.name, what, p.log.String())
			}
			if match(e) {
				return e
			}
		case <-deadline.C:
			p.t.Fatalf("%s: no %s within %v\n%s", p.name, what, within, p.log.String())
		}
	}
}

// waitEvent waits for the next event of one name: "open", "text", "binary", "error" or "close".
func (p *clientProcess) waitEvent(within time.Duration, name string) clientEvent {
	p.t.Helper()
	return p.wait(within, name, func(e clientEvent) bool { return e.Event == name })
}

// transcript is what went to and fro. It is safe from any goroutine, and keeps the last lines only.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

const (
	maxTranscriptLines = 200
	maxTranscriptLine  = 400 // bytes
)

func (l *transcript) add(line string) {
	if len(line) > maxTranscriptLine {
		line = line[:maxTranscriptLine] + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	if len(l.lines) > maxTranscriptLines {
		l.lines = l.lines[1:]
	}
}

// Write takes what the child prints on standard error.
func (l *transcript) Write(p []byte) (int, error) {
	l.add("! " + strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return "transcript (> to the client, < from it, ! trouble):\n" + strings.Join(l.lines, "\n")
}
