// Package runner starts the servers that the bench measures, on cores and in networks of their
// own, tells them what to publish, and reads what they use of processor and memory.
package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrOptions: the options make no sense; nothing was started.
var ErrOptions = errors.New("options")

// Target is a program that can be measured.
type Target struct {
	Name    string   `json:"name"`
	Command []string `json:"command"` // to which -listen and -control are added, unless it has an address
	// Of a server that knows nothing of the bench:
	Address  string `json:"address,omitempty"`  // HOST:PORT, or with /PATH
	Protocol string `json:"protocol,omitempty"` // Echo or Centrifugo
}

// Server is a target's process. Owned by one goroutine.
type Server struct {
	Address string // of the WebSocket listener
	Control *Control

	target Target
	cmd    *exec.Cmd
	output *bufio.Reader
	read   chan struct{} // closed when nobody reads the first line any more
	errors *Tail
}

const (
	startPatience = 20 * time.Second // until a target says "ready"
	stopPatience  = 30 * time.Second // until it has ended; then it is killed
	// closePatience is added to stopPatience for each connection: the kernel of a slow guest
	// takes a good part of it to end one.
	closePatience = time.Millisecond
)

// Start starts a target on some cores, has it listen for clients on an address of this
// machine, and connects to its control address.
func Start(ctx context.Context, t Target, cores []int, host string) (*Server, error) {
	if len(t.Command) == 0 {
		return nil, fmt.Errorf("starting %s: no command", t.Name)
	}
	ports, err := FreePorts(host, OwnLoopback())
	if err != nil {
		return nil, err
	}
	args := append(slices.Clone(t.Command[1:]), "-listen", ports[0], "-control", ports[1])
	if t.Address != "" {
		args = t.Command[1:]
		ports[0], _, _ = strings.Cut(t.Address, "/")
		if taken, err := net.Dial("tcp", ports[0]); err == nil {
			_ = taken.Close()
			return nil, fmt.Errorf("starting %s: somebody listens at %s already", t.Name, ports[0])
		}
	}
	s := &Server{target: t, Address: ports[0], read: make(chan struct{}), errors: &Tail{}}
	s.cmd = exec.Command(t.Command[0], args...) //nolint:gosec // what the user asked for
	s.cmd.Stderr = s.errors
	s.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,            // Ctrl-C is for the bench, which asks the server for what there is
		Pdeathsig: syscall.SIGTERM, // a bench that was killed leaves no server
	}
	stdout, err := s.cmd.StdoutPipe()
	if err == nil {
		err = onCores(cores, s.cmd.Start)
	}
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", t.Name, err)
	}
	s.output = bufio.NewReader(stdout)
	if t.Address != "" {
		go func() { defer close(s.read); _, _ = io.Copy(s.errors, s.output) }()
		err = s.awaitClient(ctx)
	} else if err = s.awaitReady(ctx); err == nil {
		s.Control, err = DialControl(ports[1])
	}
	if err != nil {
		_ = s.Stop(0)
		return nil, fmt.Errorf("starting %s: %w%s", t.Name, err, s.Said())
	}
	return s, nil
}

func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	line := make(chan error, 1)
	go func() {
		defer close(s.read)
		text, err := s.output.ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = errors.New("it ended before it said that it was ready")
		} else if err == nil && text != "ready\n" {
			err = fmt.Errorf("it said %q instead of ready", text)
		}
		line <- err
	}()
	select {
	case err := <-line:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for it to be ready: %w", ctx.Err())
	}
}

// OwnLoopback is an address of this host that hardly anybody else uses. A port of it that is free
// stays so until a server takes it, whatever is connected from 127.0.0.1 meanwhile.
func OwnLoopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(254))
}

// FreePorts finds a port of each address that nobody listens on. They might be taken before
// the target listens; then it says so.
func FreePorts(hosts ...string) ([]string, error) {
	var free []string
	for _, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer l.Close()
		free = append(free, l.Addr().String())
	}
	return free, nil
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Said is the end of what the server wrote to its standard error, for the end of an error.
func (s *Server) Said() string { return s.errors.Suffix() }

// Stop ends a target that may still have so many connections to end: with SIGTERM, and by
// force when that isn't enough.
func (s *Server) Stop(clients int) error {
	patience := stopPatience + time.Duration(clients)*closePatience
	if s.Control != nil {
		_ = s.Control.Close()
	}
	// To its whole group: a command may be a script, or a tracer, around the server.
	_ = syscall.Kill(-s.PID(), syscall.SIGTERM)
	force := time.AfterFunc(patience, func() { _ = syscall.Kill(-s.PID(), syscall.SIGKILL) })
	<-s.read
	_, _ = io.Copy(io.Discard, s.output) // Wait must not close the pipe under a reader
	err := s.cmd.Wait()
	if !force.Stop() {
		return fmt.Errorf("stopping %s: killed after %v", s.target.Name, patience)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && !signaled(exit, syscall.SIGTERM) && s.target.Address == "" { // how others end is their business
		return fmt.Errorf("stopping %s: %w%s", s.target.Name, err, s.Said())
	}
	return nil
}

func signaled(exit *exec.ExitError, sig syscall.Signal) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == sig
}

// AwaitClients waits until the target counts so many clients: one that has its answer
// may not be in broadcasts yet.
func (s *Server) AwaitClients(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		stats, err := s.Control.Stats()
		if err != nil || stats.Clients == n {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s counts %d clients, and %d are connected: %w", s.target.Name, stats.Clients, n, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
