package wsproto

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
)

// MaxProxyHeader is the longest PROXY protocol header, in bytes, that ParseProxyHeader
// reads. A header of version 2 could announce 65,551; one with a client's whole
// certificate in it takes about 2 KiB.
const MaxProxyHeader = 16 << 10

// ErrNoProxyHeader says that what a connection begins with is no PROXY protocol header.
var ErrNoProxyHeader = errors.New("no PROXY protocol header")

// ErrBadProxyHeader is what all errors about a malformed header are: what begins as one
// and isn't one can't be anything else either.
var ErrBadProxyHeader = errors.New("malformed PROXY protocol header")

func badProxyHeader(what string) error { return fmt.Errorf("%w: %s", ErrBadProxyHeader, what) }

// What ParseProxyHeader returns, built once.
var (
	errProxyLine      = badProxyHeader("no line end within 107 bytes")
	errProxyLineEnd   = badProxyHeader("a CR or LF alone")
	errProxyTransport = badProxyHeader("neither TCP4, TCP6 nor UNKNOWN")
	errProxyAddress   = badProxyHeader("an address isn't one of its family")
	errProxyPort      = badProxyHeader("a port isn't a number from 0 to 65535")
	errProxyCommand   = badProxyHeader("version and command are neither 0x20 nor 0x21")
	errProxyFamily    = badProxyHeader("unassigned family or transport")
	errProxyShort     = badProxyHeader("too short for its addresses")
	errProxyLong      = badProxyHeader("longer than 16 KiB")
	errProxyTLV       = badProxyHeader("its TLVs don't fill it exactly")
	errProxyChecksum  = badProxyHeader("wrong checksum")
)

var (
	proxyStart     = []byte("PROXY ")
	proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// ParseProxyHeader reads the PROXY protocol header, of version 1 or 2, that a proxy puts
// before all else, and tells the address of the proxy's client. source is the zero Addr
// when the header doesn't say (LOCAL, UNKNOWN, and what isn't TCP): then the connection's
// own address counts. An IPv4 address is never an IPv6 one here, however it was written.
//
// n is the header's length; 0 without an error means that p is only the beginning of a
// header. ErrNoProxyHeader: p begins with something else. Any other error wraps
// ErrBadProxyHeader, and the connection can't be read any further. p isn't changed or kept,
// and nothing is allocated.
//
// Sections are those of the specification that comes with HAProxy (proxy-protocol.txt).
func ParseProxyHeader(p []byte) (source netip.Addr, n int, err error) {
	switch {
	case mayBegin(p, proxyStart):
		return parseProxyLine(p)
	case mayBegin(p, proxySignature):
		return parseProxyBlock(p)
	}
	return netip.Addr{}, 0, ErrNoProxyHeader
}

// mayBegin is whether p begins with start, as far as it goes.
func mayBegin(p, start []byte) bool {
	n := min(len(p), len(start))
	return bytes.Equal(p[:n], start[:n])
}
