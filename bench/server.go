package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"syscall"
	"time"
)

// Target is a program that can be measured.
type Target struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`         // to which -listen and -control are added
	Cores   []int    `json:"cores,omitempty"` // that it runs on, in place of Options.Server
}

// server is a target's process. Owned by one goroutine.
type server struct {
	target  Target
	cmd     *exec.Cmd
	address string // of the WebSocket listener
	control *Control
	output  *bufio.Reader
	read    chan struct{} // closed when nobody reads the first line any more
	errors  *tail
}

const (
	startPatience = 20 * time.Second // until a target says "ready"
	stopPatience  = 30 * time.Second // until it has ended; then it is killed
	// closePatience is added to stopPatience for each connection: the kernel of a slow guest
	// takes a good part of it to end one.
	closePatience = time.Millisecond
)

// startServer starts a target on some cores, has it listen for clients on an address of
// this machine, and connects to its control address.
func startServer(ctx context.Context, t Target, cores []int, host string) (*server, error) {
	if len(t.Command) == 0 {
		return nil, fmt.Errorf("starting %s: no command", t.Name)
	}
	ports, err := freePorts(host, OwnLoopback())
	if err != nil {
		return nil, err
	}
	s := &server{target: t, address: ports[0], read: make(chan struct{}), errors: &tail{}}
	args := append(append([]string(nil), t.Command[1:]...), "-listen", ports[0], "-control", ports[1])
	s.cmd = exec.Command(t.Command[0], args...) //nolint:gosec // what the user asked for
	s.cmd.Stderr = s.errors
	s.cmd.SysProcAttr = ownGroup()
	s.cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM // a bench that was killed leaves no server
	stdout, err := s.cmd.StdoutPipe()
	if err == nil {
		err = startOn(cores, s.cmd)
	}
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", t.Name, err)
	}
	s.output = bufio.NewReader(stdout)
	if err = s.awaitReady(ctx); err == nil {
		s.control, err = DialControl(ports[1])
	}
	if err != nil {
		_ = s.stop()
		return nil, fmt.Errorf("starting %s: %w%s", t.Name, err, s.errors.suffix())
	}
	return s, nil
}

func (s *server) awaitReady(ctx context.Context) error {
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

// freePorts finds a port of each address that nobody listens on. They might be taken before
// the target listens; then it says so.
func freePorts(hosts ...string) ([]string, error) {
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

func (s *server) pid() int { return s.cmd.Process.Pid }

// stop ends the target: with SIGTERM, and by force when that isn't enough.
func (s *server) stop() error { return s.stopWith(0) }

// stopWith is stop for a target that may still have so many connections to end.
func (s *server) stopWith(clients int) error {
	patience := stopPatience + time.Duration(clients)*closePatience
	if s.control != nil {
		_ = s.control.Close()
	}
	// To its whole group: a command may be a script, or a tracer, around the server.
	_ = syscall.Kill(-s.pid(), syscall.SIGTERM)
	force := time.AfterFunc(patience, func() { _ = syscall.Kill(-s.pid(), syscall.SIGKILL) })
	<-s.read
	_, _ = io.Copy(io.Discard, s.output) // Wait must not close the pipe under a reader
	err := s.cmd.Wait()
	if !force.Stop() {
		return fmt.Errorf("stopping %s: killed after %v", s.target.Name, patience)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && !signaled(exit, syscall.SIGTERM) {
		return fmt.Errorf("stopping %s: %w%s", s.target.Name, err, s.errors.suffix())
	}
	return nil
}

func signaled(exit *exec.ExitError, sig syscall.Signal) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == sig
}

// awaitClients waits until the target counts so many clients: one that has its answer
// may not be in broadcasts yet.
func (s *server) awaitClients(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		stats, err := s.control.Stats()
		if err != nil {
			return err
		}
		if stats.Clients == n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s counts %d clients, and %d are connected: %w", s.target.Name, stats.Clients, n, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
