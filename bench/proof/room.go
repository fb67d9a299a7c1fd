package proof

import (
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

// room is a namespace with mounts of its own. A process holds it open as long as this one lives, and it goes when that
// and those that run there have ended. Nil is where this process is. Safe from any goroutine.
type room struct {
	holder *exec.Cmd
	enter  []string // what stands before a program that is to run there
}

// newRoom needs root or user namespaces.
func newRoom() (*room, error) {
	r := &room{exec.Command("cat"), []string{"nsenter", "--mount"}}
	attr := &syscall.SysProcAttr{Setpgid: true, Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
		r.enter = append(r.enter, "--user", "--preserve-credentials")
	}
	r.holder.SysProcAttr = attr
	_, err := r.holder.StdinPipe() // which ends with this process
	if err == nil {
		err = r.holder.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: mounts of its own aren't permitted; it needs root: %w", errAbsent, err)
	}
	r.enter = append(r.enter, "--target", fmt.Sprint(r.holder.Process.Pid))
	return r, nil
}

func (r *room) close() {
	if r != nil {
		_ = r.holder.Process.Kill()
		_ = r.holder.Wait()
	}
}

// inside has a program run there.
func (r *room) inside(program []string) []string {
	if r == nil {
		return program
	}
	return append(append([]string(nil), r.enter...), program...)
}

// do is over when a command has ended.
func (r *room) do(ctx context.Context, format string, args ...any) error {
	program := r.inside(strings.Fields(fmt.Sprintf(format, args...)))
	if out, err := exec.CommandContext(ctx, program[0], program[1:]...).CombinedOutput(); err != nil { //nolint:gosec // ours
		return fmt.Errorf("%s: %w %s", strings.Join(program, " "), err, out)
	}
	return nil
}

// path is a file there, from this process's point of view.
func (r *room) path(name string) string {
	if r == nil {
		return name
	}
	return fmt.Sprintf("/proc/%d/root%s", r.holder.Process.Pid, name) // proc(5): root is seen as the process sees it
}

// mount has a file system over a folder.
func (r *room) mount(ctx context.Context, kind, source, options, folder string) error {
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = r.do(ctx, "mount -t %s -o %s %s %s", kind, options, source, folder)
	}
	if err != nil {
		return fmt.Errorf("%w: mounting isn't permitted: %w", errAbsent, err)
	}
	return nil
}

// dialIn connects from a network, or from this process's when it is nil.
func dialIn(ctx context.Context, network *os.File, address string) (conn net.Conn, err error) {
	d := net.Dialer{}
	if network == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	err = runner.InNetwork(network, func() error {
		conn, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// cables join networks, one for each node, by a bridge in one of its own. Nothing of it is in this process's network.
type cables struct{ networks []*os.File } // that of the bridge is the last

func newCables(nodes int) (c *cables, err error) {
	c = &cables{}
	for range nodes + 1 {
		network, e := runner.NewNetwork()
		if err = e; err != nil {
			break
		}
		c.networks = append(c.networks, network)
	}
	if err == nil {
		err = c.join("link add bridge type bridge\nlink set bridge up\n")
	}
	for i := 0; i < nodes && err == nil; i++ {
		n := c.networks[i]
		err = errors.Join(
			c.join("link add node%d type veth peer name cable netns /proc/%d/fd/%d\nlink set node%d master bridge up\n", i, os.Getpid(), n.Fd(), i),
			runner.InNetwork(n, func() error {
				return runner.BatchIP(fmt.Sprintf("link set lo up\naddress add %s/24 dev cable\nlink set cable up\n", cableAddress(i)))
			}))
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%w: it needs root, and the program ip of iproute2: %w", errAbsent, err)
	}
	return c, nil
}

// join runs commands of ip on the bridge's side.
func (c *cables) join(format string, args ...any) error {
	return runner.InNetwork(c.networks[len(c.networks)-1], func() error { return runner.BatchIP(fmt.Sprintf(format, args...)) })
}

// cableAddress is a node's, for the others.
func cableAddress(node int) string { return fmt.Sprintf("10.0.0.%d", node+1) }

func (c *cables) close() {
	if c != nil {
		for _, n := range c.networks {
			n.Close()
		}
	}
}
