package wsproto

import (
	"bytes"
	"net/netip"
)

// maxProxyLine is the longest line of version 1, its end included (2.1).
const maxProxyLine = 107

var space = []byte(" ")

// parseProxyLine reads a header of version 1, a line of text.
func parseProxyLine(p []byte) (source netip.Addr, n int, err error) {
	line, _, ended := bytes.Cut(p[:min(len(p), maxProxyLine)], crlf)
	if bytes.IndexByte(line, '\n') >= 0 || ended && bytes.IndexByte(line, '\r') >= 0 {
		// 2.1 forbids to take it for the line's end. With UNKNOWN a request could hide behind it.
		return source, 0, errProxyLineEnd
	}
	if !ended {
		if len(p) >= maxProxyLine {
			return source, 0, errProxyLine
		}
		return source, 0, nil
	}
	transport, rest, _ := bytes.Cut(line[len(proxyStart):], space)
	switch string(transport) {
	case "UNKNOWN": // 2.1: the rest of the line is ignored
	case "TCP4":
		source, err = proxyEnds(rest, parseIPv4)
	case "TCP6":
		source, err = proxyEnds(rest, parseIPv6)
	default:
		err = errProxyTransport
	}
	if err != nil {
		return netip.Addr{}, 0, err
	}
	return source, len(line) + len(crlf), nil
}

// proxyEnds reads "source destination port port", each one space from the next. All of it
// is checked, and the source is returned.
func proxyEnds(p []byte, address func([]byte) (netip.Addr, bool)) (netip.Addr, error) {
	from, p, _ := bytes.Cut(p, space)
	to, p, _ := bytes.Cut(p, space)
	source, ok := address(from)
	_, alsoOK := address(to)
	if !ok || !alsoOK {
		return netip.Addr{}, errProxyAddress
	}
	fromPort, toPort, _ := bytes.Cut(p, space)
	if !isDecimal(fromPort, 65535) || !isDecimal(toPort, 65535) {
		return netip.Addr{}, errProxyPort
	}
	return source.Unmap(), nil
}

func isDecimal(p []byte, most int) bool {
	_, n := decimal(p, most)
	return n > 0 && n == len(p)
}
