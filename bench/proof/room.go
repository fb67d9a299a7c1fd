package proof

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/busbar-ws/busbar/bench/runner"
)

// room is namespaces with mounts or a network of their own. A process holds them open, and they go when it and those
// that run there have ended. Nil is where this process is. Safe from any goroutine.
type room struct {
	holder  *process
	enter   []string // what stands before a program that is to run there
	network *os.File // nil: this process's
}

const mounts, network = "--mount", "--net"

// newRoom needs root, or for mounts user namespaces.
func newRoom(kind string) (*room, error) {
	program := []string{"unshare", kind, "sh", "-c", "echo made; exec sleep infinity"}
	enter := []string{"nsenter", kind}
	if kind == mounts && os.Geteuid() != 0 {
		program[1], enter[1] = "-rm", "-Um"
		enter = append(enter, "--preserve-credentials")
	}
	log, cmd := &tail{}, &exec.Cmd{}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	r := &room{}
	if r.holder, err = run(program, cmd); err != nil {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "made\n" {
		r.close()
		return nil, fmt.Errorf("%w: namespaces aren't permitted; it needs root%s", errAbsent, log)
	}
	if kind == network {
		r.network, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", r.holder.pid()))
	}
	r.enter = append(enter, "--target", fmt.Sprint(r.holder.pid()))
	return r, err
}

func (r *room) close() {
	if r != nil {
		r.holder.end(syscall.SIGKILL)
		r.network.Close()
	}
}

// inside has a program run there.
func (r *room) inside(program ...string) []string {
	if r == nil {
		return program
	}
	return append(append([]string(nil), r.enter...), program...)
}

// do is over when a command has ended.
func (r *room) do(ctx context.Context, command string) error {
	program := r.inside(strings.Fields(command)...)
	if out, err := exec.CommandContext(ctx, program[0], program[1:]...).CombinedOutput(); err != nil { //nolint:gosec // ours
		return fmt.Errorf("%s: %w %s", command, err, out)
	}
	return nil
}

// path is a file there, from this process's point of view.
func (r *room) path(name string) string {
	if r == nil {
		return name
	}
	return fmt.Sprintf("/proc/%d/root%s", r.holder.pid(), name) // proc(5): root is seen as the process sees it
}

// mount has a file system over a folder.
func (r *room) mount(ctx context.Context, kind, source, options, folder string) error {
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = r.do(ctx, fmt.Sprintf("mount -t %s -o %s %s %s", kind, options, source, folder))
	}
	if err != nil {
		return fmt.Errorf("%w: mounting isn't permitted: %w", errAbsent, err)
	}
	return nil
}

// dial connects from there.
func (r *room) dial(ctx context.Context, d *net.Dialer, address string) (conn net.Conn, err error) {
	if r == nil || r.network == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	err = runner.InNetwork(r.network, func() error {
		conn, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// Dial is dial for nats.go.
func (r *room) Dial(_, address string) (net.Conn, error) {
	return r.dial(context.Background(), &net.Dialer{Timeout: attempt}, address)
}

// cables join rooms by a bridge in one of its own. Nothing of it is in this process's network.
type cables struct {
	bridge *room
	rooms  []*room
}

func newCables(ctx context.Context, count int) (c *cables, err error) {
	c = &cables{}
	if c.bridge, err = newRoom(network); err == nil {
		err = errors.Join(c.bridge.do(ctx, "ip link add bridge type bridge"), c.bridge.do(ctx, "ip link set bridge up"))
	}
	for i := 0; i < count && err == nil; i++ {
		r, e := newRoom(network)
		if e != nil {
			err = e
			break
		}
		c.rooms = append(c.rooms, r)
		err = errors.Join(
			c.bridge.do(ctx, fmt.Sprintf("ip link add node%d type veth peer name cable netns %d", i, r.holder.pid())),
			c.bridge.do(ctx, fmt.Sprintf("ip link set node%d master bridge up", i)),
			r.do(ctx, "ip link set lo up"), r.do(ctx, "ip address add "+cableAddress(i)+"/24 dev cable"), r.do(ctx, "ip link set cable up"))
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%w: it needs root, and the program ip of iproute2: %w", errAbsent, err)
	}
	return c, nil
}

// cableAddress is a node's, for the others.
func cableAddress(node int) string { return fmt.Sprintf("10.0.0.%d", node+1) }

// set down has nothing come through any more, and nobody told.
func (c *cables) set(ctx context.Context, node int, state string) error {
	return c.bridge.do(ctx, fmt.Sprintf("ip link set node%d %s", node, state))
}

func (c *cables) close() {
	for _, r := range append(c.rooms, c.bridge) {
		r.close()
	}
}

// freeAddresses are of this host, and nobody listens there.
func freeAddresses(n int) (free []string, err error) {
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(runner.OwnLoopback(), "0"))
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer l.Close()
		free = append(free, l.Addr().String())
	}
	return free, nil
}
