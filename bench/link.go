package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
)

// link is a veth pair. Both ends have the same name: one is on the side of the server, the
// other in a namespace.
type link struct {
	name   string
	server netip.Addr // first of a /24, of which the addresses behind it are the clients'
}

const (
	maxLinks = 256 // benches that may run side by side: each has 10.254.N.0/24
	maxApart = 253 // addresses of clients in a /24, behind that of the server
)

var errNoLink = errors.New("making a veth pair")

// newLink joins this namespace and n. The pair's name is what keeps benches apart that run
// at the same time: only one of them can have it.
func newLink(n *namespace, addresses int) (link, error) {
	if addresses < 1 || addresses > maxApart {
		return link{}, fmt.Errorf("%w: %d addresses, and it has 1 to %d", errNoLink, addresses, maxApart)
	}
	for i := range maxLinks {
		l := link{name: fmt.Sprintf("busbar-bench%d", i), server: netip.AddrFrom4([4]byte{10, 254, byte(i), 1})}
		if _, err := net.InterfaceByName(l.name); err == nil {
			continue
		}
		cmd := ip("link", "add", l.name, "type", "veth", "peer", "name", l.name, "netns", "/proc/self/fd/3")
		cmd.ExtraFiles = []*os.File{n.file}
		if err := runIP(cmd); err != nil {
			if _, taken := net.InterfaceByName(l.name); taken == nil {
				continue // by another bench, just now
			}
			return link{}, err
		}
		if err := l.configure(n, addresses); err != nil {
			return link{}, errors.Join(err, l.remove())
		}
		return l, nil
	}
	return link{}, fmt.Errorf("%w: busbar-bench0 to busbar-bench%d exist; ip link delete NAME removes one", errNoLink, maxLinks-1)
}

// configure gives both ends their addresses.
func (l link) configure(n *namespace, addresses int) error {
	up := fmt.Sprintf("link set %s up\n", l.name)
	if err := BatchIP(fmt.Sprintf("address add %s/24 dev %s\n", l.server, l.name) + up); err != nil {
		return err
	}
	var there strings.Builder
	address := l.server
	for range addresses {
		address = address.Next()
		fmt.Fprintf(&there, "address add %s/24 dev %s\n", address, l.name)
	}
	there.WriteString(up)
	return n.do(func() error { return BatchIP(there.String()) })
}

// remove takes both ends away.
func (l link) remove() error { return runIP(ip("link", "delete", l.name)) }

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
