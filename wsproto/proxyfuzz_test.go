package wsproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"net/netip"
	"slices"
	"testing"

	proxyproto "github.com/pires/go-proxyproto"
)

// The oracle is go-proxyproto: what it takes for a header, and for whose, is what we do, but
// for the differences that onlyOurs and onlyTheirs name.
func FuzzProxyHeader(f *testing.F) {
	proxyproto.MaxV2HeaderSize = MaxProxyHeader - proxyFixed // a variable to be set at start
	for header := range goodHeaders {
		f.Add([]byte(header))
		f.Add([]byte(header + "GET / HTTP/1.1\r\n\r\n"))
	}
	for _, header := range []string{"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", "PROXY \r\n", "GET /\r\n\r\n", proxyBlock(0x21, 0x13, inetEnds)} {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		source, n, err := ParseProxyHeader(p)
		if !bytes.Equal(p, before) {
			t.Error("the bytes were changed")
		}
		if n < 0 || n > min(len(p), MaxProxyHeader) || err != nil && (n != 0 || source.IsValid()) || source.Is4In6() {
			t.Fatalf("%d bytes of %d, %v, %v", n, len(p), source, err)
		}
		if n == 0 && err == nil && source.IsValid() {
			t.Error("a source before the header is whole")
		}
		expectSameInPieces(t, p, source, n, err)
		expectSameAsGoProxyproto(t, p, source, n, err)
	})
}

// expectSameInPieces: until a header is whole nothing is known, and then all of it; an error
// that was seen stays, whatever comes behind it.
func expectSameInPieces(t *testing.T, p []byte, source netip.Addr, n int, err error) {
	cuts := min(len(p), 2*maxProxyLine) // more only costs time: a block's end is what is left
	for _, cut := range append(upTo(cuts), max(n-1, 0), n, min(n+1, len(p))) {
		s, m, e := ParseProxyHeader(p[:cut])
		switch {
		case e != nil && !errors.Is(err, e):
			t.Fatalf("cut at %d: %v, the whole: %v", cut, e, err)
		case m != 0 && (m != n || s != source):
			t.Fatalf("cut at %d: %d bytes, %v; the whole: %d, %v", cut, m, s, n, source)
		case n != 0 && cut >= n && m != n:
			t.Fatalf("the header is whole at %d, and isn't read at %d", n, cut)
		}
	}
}

func upTo(end int) (numbers []int) {
	for i := range end {
		numbers = append(numbers, i)
	}
	return numbers
}

func expectSameAsGoProxyproto(t *testing.T, p []byte, source netip.Addr, n int, err error) {
	behind := bytes.NewReader(p)
	r := bufio.NewReaderSize(behind, 1<<17)
	theirs, theirErr := proxyproto.Read(r)
	theirN := len(p) - behind.Len() - r.Buffered()
	switch {
	case n > 0 && theirErr != nil:
		if !onlyOurs(p) {
			t.Errorf("go-proxyproto refuses what we take for %v: %v", source, theirErr)
		}
	case n > 0:
		if want := theirSource(theirs); theirN != n || want != source {
			t.Errorf("%d bytes, %v; go-proxyproto reads %d, %v", n, source, theirN, want)
		}
		if writesAsRead(theirs) && theirChecksumIsWrong(theirs) {
			t.Errorf("a wrong checksum was taken")
		}
	case theirErr == nil && !onlyTheirs(theirs, err):
		t.Errorf("%v; go-proxyproto reads %+v", err, theirs)
	}
}

// onlyOurs: 2.2 leaves an unspecified family or transport to the receiver, and has it ignore
// the family of LOCAL. go-proxyproto refuses both.
func onlyOurs(p []byte) bool {
	if !bytes.HasPrefix(p, proxySignature) {
		return false
	}
	family, transport := p[13]>>4, p[13]&0xf
	return p[12] == 0x20 || family == proxyUnspec || transport == 0
}

// onlyTheirs: go-proxyproto leaves TLVs to its user, and what is ignored of a line unread.
func onlyTheirs(h *proxyproto.Header, err error) bool {
	switch {
	case h.Version == 1:
		return errors.Is(err, errProxyLineEnd) && h.Command.IsLocal()
	case !errors.Is(err, errProxyTLV) && !errors.Is(err, errProxyChecksum):
		return false
	}
	_, broken := h.TLVs()
	return broken != nil || errors.Is(err, errProxyChecksum) && theirChecksumIsWrong(h)
}

// writesAsRead is false for what go-proxyproto doesn't keep: padding, and what stands behind
// the name of a Unix socket. LOCAL has no TLVs that we'd look at.
func writesAsRead(h *proxyproto.Header) bool {
	tlvs, err := h.TLVs()
	if err != nil || h.Version != 2 || !h.Command.IsProxy() || h.TransportProtocol.IsUnix() {
		return false
	}
	return !slices.ContainsFunc(tlvs, func(v proxyproto.TLV) bool { return v.Type == proxyproto.PP2_TYPE_NOOP })
}

// theirChecksumIsWrong writes the header as they read it and compares what it should say.
func theirChecksumIsWrong(h *proxyproto.Header) bool {
	tlvs, err := h.TLVs()
	if err != nil {
		return false
	}
	sums := 0
	wrong := false
	for i, tlv := range tlvs {
		if tlv.Type != proxyproto.PP2_TYPE_CRC32C {
			continue
		}
		sums++
		given := bytes.Clone(tlv.Value)
		clear(tlvs[i].Value)
		if len(given) != 4 || h.SetTLVs(tlvs) != nil {
			return true
		}
		zeroed, err := h.Format()
		wrong = wrong || err != nil || binary.BigEndian.Uint32(given) != crc32.Checksum(zeroed, crc32.MakeTable(crc32.Castagnoli))
	}
	return wrong || sums > 1
}

func theirSource(h *proxyproto.Header) netip.Addr {
	if h.Command.IsLocal() {
		return netip.Addr{}
	}
	tcp, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}

func FuzzAddress(f *testing.F) {
	for _, text := range []string{"1.2.3.4", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8", "1::8", "fe80::1%eth0", "::", "0:0::0", "1.2.3.04"} {
		f.Add(text)
	}
	f.Fuzz(expectAddress)
}

var benchmarkHeaders = map[string]string{"v1 TCP4": testProxyLine4, "v1 TCP6": testProxyLine6, "v2 TCP4 with checksum": checkedBlock}

func BenchmarkProxyHeader(b *testing.B) {
	for name, header := range benchmarkHeaders {
		b.Run(name, func(b *testing.B) {
			p := []byte(header)
			b.ReportAllocs()
			for b.Loop() {
				if _, n, err := ParseProxyHeader(p); n != len(p) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
