package proof

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/bench/runner"
)

// cables join nodes that have a network namespace each, by a bridge in one of its own. Nothing of it is in this
// process's, and all of it goes when it is closed and the nodes have ended.
type cables struct {
	bridge *os.File
	nodes  []*os.File
}

func newCables(nodes int) (c *cables, err error) {
	c = &cables{}
	defer func() {
		if err != nil {
			c.close()
			err = fmt.Errorf("%w: it needs root, and the program ip of iproute2: %w", errAbsent, err)
		}
	}()
	if c.bridge, err = runner.NewNetwork(); err != nil {
		return c, err
	}
	if err := c.inBridge("link add bridge type bridge\nlink set bridge up\n"); err != nil {
		return c, err
	}
	for i := range nodes {
		n, err := runner.NewNetwork()
		if err != nil {
			return c, err
		}
		c.nodes = append(c.nodes, n)
		if err := c.inBridge(fmt.Sprintf("link add node%d type veth peer name cable netns %s\nlink set node%d master bridge up\n", i, pathOf(n), i)); err != nil {
			return c, err
		}
		own := fmt.Sprintf("link set lo up\naddress add %s/24 dev cable\nlink set cable up\n", cableAddress(i))
		if err := runner.InNetwork(n, func() error { return runner.BatchIP(own) }); err != nil {
			return c, err
		}
	}
	return c, nil
}

// cableAddress is a node's, for the others.
func cableAddress(node int) string { return fmt.Sprintf("10.0.0.%d", node+1) }

func (c *cables) inBridge(commands string) error {
	return runner.InNetwork(c.bridge, func() error { return runner.BatchIP(commands) })
}

// cut has nothing come through any more, and nobody told.
func (c *cables) cut(node int) error  { return c.inBridge(fmt.Sprintf("link set node%d down\n", node)) }
func (c *cables) mend(node int) error { return c.inBridge(fmt.Sprintf("link set node%d up\n", node)) }

func (c *cables) close() {
	for _, f := range append(c.nodes, c.bridge) {
		if f != nil {
			f.Close()
		}
	}
}

// pathOf is the file for other processes.
func pathOf(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

// enterNetwork has the thread stand in a network namespace.
func enterNetwork(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
}

// dialIn connects from within a network namespace, nil for this process's.
func dialIn(ctx context.Context, network *os.File, d *net.Dialer, address string) (conn net.Conn, err error) {
	if network == nil {
		return d.DialContext(ctx, "tcp", address)
	}
	err = runner.InNetwork(network, func() error {
		conn, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// onNetwork is dialIn for nats.go.
type onNetwork struct{ network *os.File }

func (n onNetwork) Dial(_, address string) (net.Conn, error) {
	return dialIn(context.Background(), n.network, &net.Dialer{Timeout: attempt}, address)
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
