package runner

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with a veth pair into this one, so that packets between
// server and clients go through a device, its queue and both ends' whole stack. Both ends have the
// same name. The namespace has none: it lives as long as somebody has it open, so that a bench that is
// killed leaves nothing behind. Its methods are for one goroutine.
type Namespace struct {
	file   *os.File
	name   string     // of the pair
	server netip.Addr // first of a /24, of which the addresses behind it are the clients'
}

const (
	maxLinks = 256 // benches that may run side by side: each has 10.254.N.0/24
	maxApart = 253 // addresses of clients in a /24, behind that of the server
)

var errNoLink = errors.New("making a veth pair")

// OpenNamespace makes a namespace that has so many addresses. It needs the right to
// (CAP_SYS_ADMIN and CAP_NET_ADMIN). The pair's name is what keeps benches apart that run
// at the same time: only one of them can have it.
func OpenNamespace(addresses int) (*Namespace, error) {
	if addresses < 1 || addresses > maxApart {
		return nil, fmt.Errorf("%w: %d addresses, and it has 1 to %d", errNoLink, addresses, maxApart)
	}
	file, err := NewNetwork()
	if err != nil {
		return nil, err
	}
	for i := range maxLinks {
		n := &Namespace{file, fmt.Sprintf("busbar-bench%d", i), netip.AddrFrom4([4]byte{10, 254, byte(i), 1})}
		if _, err := net.InterfaceByName(n.name); err == nil {
			continue
		}
		cmd := ip("link", "add", n.name, "type", "veth", "peer", "name", n.name, "netns", "/proc/self/fd/3")
		cmd.ExtraFiles = []*os.File{file}
		if err := runIP(cmd); err != nil {
			if _, taken := net.InterfaceByName(n.name); taken == nil {
				continue // by another bench, just now
			}
			return nil, errors.Join(err, file.Close())
		}
		if err := n.configure(addresses); err != nil {
			return nil, errors.Join(err, n.Close())
		}
		return n, nil
	}
	return nil, errors.Join(file.Close(),
		fmt.Errorf("%w: busbar-bench0 to busbar-bench%d exist; ip link delete NAME removes one", errNoLink, maxLinks-1))
}

// configure gives both ends their addresses.
func (n *Namespace) configure(addresses int) error {
	up := fmt.Sprintf("link set %s up\n", n.name)
	if err := BatchIP(fmt.Sprintf("address add %s/24 dev %s\n", n.server, n.name) + up); err != nil {
		return err
	}
	there, address := "", n.server
	for range addresses {
		address = address.Next()
		there += fmt.Sprintf("address add %s/24 dev %s\n", address, n.name)
	}
	return n.Do(func() error { return BatchIP(there + up) })
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

// Do calls f on a thread that is in the namespace, or on one of its own when n is nil.
func (n *Namespace) Do(f func() error) error {
	if n == nil {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return f()
	}
	return InNetwork(n.file, f)
}

// Host is the address on this side of the pair that a server is to listen on, one of
// 127.0.0.0/8 when n is nil.
func (n *Namespace) Host() string {
	if n == nil {
		return OwnLoopback()
	}
	return n.server.String()
}

// Close takes the pair down. The namespace goes when the last process in it has ended.
func (n *Namespace) Close() error {
	if n == nil {
		return nil
	}
	return errors.Join(runIP(ip("link", "delete", n.name)), n.file.Close())
}

func ip(args ...string) *exec.Cmd { return exec.Command("ip", args...) } //nolint:gosec // our own arguments

// BatchIP has the program ip run several commands, one a line.
func BatchIP(commands string) error {
	cmd := ip("-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	return runIP(cmd)
}

func runIP(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: the program ip, of iproute2, isn't installed", errNoLink)
	case err != nil:
		return fmt.Errorf("%w: %s: %w: %s", errNoLink, strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
