package poll

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// reservedPort holds a port for the loops' listeners while they are being opened.
//
// With SO_REUSEPORT a second server on a port that is taken starts without an error and
// gets half of the connections. So the port is asked for once without it.
type reservedPort struct {
	fd   int // bound and not listening
	Addr netip.AddrPort
	host string // as configured
}

// reservePort takes host:port; port 0 is any free one. An error names what is the matter with it.
func reservePort(listen string) (*reservedPort, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", listen, err)
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", listen, plain(err))
	}
	defer ln.Close()
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	p := &reservedPort{fd: -1, Addr: addr, host: host}
	if err := share(ln.(*net.TCPListener)); err != nil {
		return nil, fmt.Errorf("reserving %s: %w", addr, err)
	}
	return p, p.hold()
}

// share lets hold bind the port while ln has it. Between closing it and binding anew,
// somebody's outgoing connection could be given the port.
func share(ln *net.TCPListener) error {
	raw, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(failed, err)
}

// hold binds the port with SO_REUSEPORT, so that nobody else gets it meanwhile.
func (p *reservedPort) hold() error {
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(p.Addr.Port()), Addr: p.Addr.Addr().As16()})
	if p.Addr.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(p.Addr.Port()), Addr: p.Addr.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("reserving %s: %w", p.Addr, err)
	}
	p.fd = fd
	// SO_REUSEADDR: connections that an earlier process closed are still in TIME_WAIT. Once
	// the port is ours the option goes, or others that have it could listen here too.
	for _, option := range []int{unix.SO_REUSEPORT, unix.SO_REUSEADDR} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1)
		}
	}
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
	}
	if err != nil {
		p.Release()
		return fmt.Errorf("reserving %s: %w", p.Addr, err)
	}
	return nil
}

// Release lets go of the port, for which gnet has its own sockets.
func (p *reservedPort) Release() {
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

// gnetAddr is where gnet is to listen, for it to be where package net has listened. Without a host
// it takes IPv6's wildcard, also on a kernel without IPv6, where package net took IPv4's; and with
// that wildcard as the host it would leave IPv4 out.
func (p *reservedPort) gnetAddr() string {
	host := p.host
	switch ip := p.Addr.Addr(); {
	case host == "" && ip.Is4():
		host = netip.IPv4Unspecified().String()
	case ip == netip.IPv6Unspecified() && host != netip.IPv4Unspecified().String():
		host = ""
	}
	return "tcp://" + net.JoinHostPort(host, strconv.Itoa(int(p.Addr.Port())))
}

// plain takes the wrapping "listen tcp …: bind:" off a net error.
func plain(err error) error {
	for {
		switch e := err.(type) {
		case *net.OpError:
			err = e.Err
		case interface{ Unwrap() error }:
			inner := e.Unwrap()
			if _, ok := inner.(syscall.Errno); !ok {
				return err
			}
			err = inner
		default:
			return err
		}
	}
}
