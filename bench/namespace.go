package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace with a veth pair into this one, so that packets between
// server and clients go through a device, its queue and both ends' whole stack. It has no
// name: it lives as long as somebody has it open, so that a bench that is killed leaves
// nothing behind. Its methods are for one goroutine.
type namespace struct {
	file *os.File
	link link
}

// openNamespace makes a namespace that has so many addresses. It needs the right to
// (CAP_SYS_ADMIN and CAP_NET_ADMIN).
func openNamespace(addresses int) (*namespace, error) {
	file, err := NewNetwork()
	if err != nil {
		return nil, err
	}
	n := &namespace{file: file}
	if n.link, err = newLink(n, addresses); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return n, nil
}

// networkOfThread is the calling thread's namespace, as a file.
const networkOfThread = "/proc/thread-self/ns/net"

// NewNetwork makes a network namespace, which lives as long as somebody has it open. It needs root.
func NewNetwork() (file *os.File, err error) {
	err = elsewhere(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() error {
		file, err = os.Open(networkOfThread)
		return err
	})
	switch {
	case errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("making a network namespace: %w; that needs root", err)
	case err != nil:
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	return file, nil
}

// elsewhere calls f on a thread that leave has moved to another network namespace, and moves
// it back. A thread that can't be moved back stays locked: it ends with its goroutine.
func elsewhere(leave, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(networkOfThread)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := leave(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("returning from a network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// InNetwork calls f on a thread that is in a network namespace: a process that f starts is as well.
func InNetwork(network *os.File, f func() error) error {
	return elsewhere(func() error {
		if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return nil
	}, f)
}

func (n *namespace) do(f func() error) error { return InNetwork(n.file, f) }

// start starts a process in the namespace, or in this one when n is nil.
func (n *namespace) start(cores []int, cmd *exec.Cmd) error {
	if n == nil {
		return startOn(cores, cmd)
	}
	return n.do(func() error { return startOn(cores, cmd) })
}

// host is the address on this side of the pair that a server is to listen on, one of
// 127.0.0.0/8 when n is nil.
func (n *namespace) host() string {
	if n == nil {
		return OwnLoopback()
	}
	return n.link.server.String()
}

// close takes the pair down. The namespace goes when the last process in it has ended.
func (n *namespace) close() error {
	if n == nil {
		return nil
	}
	return errors.Join(n.link.remove(), n.file.Close())
}
