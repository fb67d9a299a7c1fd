package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"testing"
	"time"
)

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

// send writes text as one text message, sendBinary data as one binary message.
func (p *clientProcess) send(text string) {
	p.t.Helper()
	p.command(map[string]any{"cmd": "send", "data": text})
}

func (p *clientProcess) sendBinary(data []byte) {
	p.t.Helper()
	p.command(map[string]any{"cmd": "send_binary", "base64": data})
}

// ping asks for a "pong" event with data, which is text of at most 125 bytes (RFC 6455 section 5.5).
func (p *clientProcess) ping(data string) {
	p.t.Helper()
	p.command(map[string]any{"cmd": "ping", "data": data})
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

// waitEvent waits for the next event of one name: "open", "text", "binary", "pong", "error" or "close".
func (p *clientProcess) waitEvent(within time.Duration, name string) clientEvent {
	p.t.Helper()
	return p.wait(within, name, func(e clientEvent) bool { return e.Event == name })
}
