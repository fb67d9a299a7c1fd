package wsproto

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

const (
	testProxyLine4 = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n" // 2.1, the example
	testProxyLine6 = "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"
)

// proxyBlock is a header of version 2 with that payload.
func proxyBlock(command, family byte, payload ...string) string {
	body := strings.Join(payload, "")
	head := append([]byte(proxySignature), command, family)
	return string(binary.BigEndian.AppendUint16(head, uint16(len(body)))) + body
}

func tlv(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

// withChecksum is a header with a CRC32c, for which its last four bytes are kept free.
func withChecksum(header string) string {
	p := []byte(header)
	at := len(p) - 4
	clear(p[at:])
	binary.BigEndian.PutUint32(p[at:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	return string(p)
}

var (
	inetEnds     = "\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x34\x01\xbb"
	inet6Ends    = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x07" + strings.Repeat("\x11", 16) + "\x12\x34\x01\xbb"
	mapped       = strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x07" + strings.Repeat("\x11", 16) + "\x12\x34\x01\xbb"
	unixEnds     = "/run/proxy.sock" + strings.Repeat("\x00", 216-15)
	checkedBlock = withChecksum(proxyBlock(0x21, 0x11, inetEnds, tlv(4, "pad"), tlv(3, "0000")))
	worstLine    = "PROXY UNKNOWN " + strings.Repeat("ffff:", 7) + "ffff " + strings.Repeat("ffff:", 7) + "ffff 65535 65535\r\n"
)

// goodHeaders are headers and the source that each gives, "" for the connection's own.
var goodHeaders = map[string]string{
	testProxyLine4: "192.168.0.1",
	testProxyLine6: "2001:db8::1",
	"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n":                                               "255.255.255.255",
	"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n":                                                                       "0.0.0.0",
	"PROXY TCP6 " + strings.Repeat("ffff:", 7) + "ffff " + strings.Repeat("ffff:", 7) + "FFFF 65535 65535\r\n": "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n":                                                                  "192.0.2.7",
	"PROXY TCP6 ::FFFF:c000:0207 :: 1 2\r\n":                                                                   "192.0.2.7",
	"PROXY TCP6 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1 2\r\n":                                                       "1:2:3:4:5:6:7:0",
	"PROXY UNKNOWN\r\n":                      "",
	"PROXY UNKNOWN 1.2.3.4 junk % \x00\r\n":  "",
	worstLine:                                "",
	proxyBlock(0x20, 0x00):                   "", // LOCAL
	proxyBlock(0x20, 0x11, inetEnds):         "",
	proxyBlock(0x20, 0x11, "short"):          "",
	proxyBlock(0x20, 0xff, "no such family"): "",
	proxyBlock(0x21, 0x00):                   "", // UNSPEC
	proxyBlock(0x21, 0x00, "whatever"):       "",
	proxyBlock(0x21, 0x11, inetEnds):         "192.0.2.7",
	proxyBlock(0x21, 0x21, inet6Ends):        "2001:db8::7",
	proxyBlock(0x21, 0x21, mapped):           "192.0.2.7",
	proxyBlock(0x21, 0x31, unixEnds):         "",
	proxyBlock(0x21, 0x32, unixEnds):         "",
	proxyBlock(0x21, 0x12, inetEnds):         "", // UDP
	proxyBlock(0x21, 0x22, inet6Ends):        "",
	proxyBlock(0x21, 0x10, inetEnds):         "", // transport UNSPEC
	proxyBlock(0x21, 0x11, inetEnds, tlv(1, "h2"), tlv(2, "app.example.com"), tlv(0x20, "\x01\x00\x00\x00\x00")): "192.0.2.7",
	proxyBlock(0x21, 0x11, inetEnds, tlv(4, ""), tlv(0xee, strings.Repeat("x", 9000))):                           "192.0.2.7",
	checkedBlock: "192.0.2.7",
}

func TestProxyHeader(t *testing.T) {
	for header, want := range goodHeaders {
		for _, behind := range []string{"", "G", "\r\n", "GET / HTTP/1.1\r\n\r\n", header, strings.Repeat("x", 1000)} {
			source, n, err := ParseProxyHeader([]byte(header + behind))
			if err != nil || n != len(header) || source.IsValid() != (want != "") || want != "" && source.String() != want {
				t.Errorf("%.120q: %v, %d bytes of %d, %v; want %q", header+behind, source, n, len(header), err, want)
			}
		}
	}
}

// Until a header is whole there is nothing to be said about it, wherever it is cut.
func TestProxyHeaderInPieces(t *testing.T) {
	for header := range goodHeaders {
		for cut := range len(header) {
			if source, n, err := ParseProxyHeader([]byte(header[:cut])); source.IsValid() || n != 0 || err != nil {
				t.Fatalf("%.120q cut at %d: %v, %d, %v", header, cut, source, n, err)
			}
		}
	}
}

func TestBadProxyHeader(t *testing.T) {
	for header, want := range map[string]error{
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n":                          errProxyLineEnd,
		"PROXY UNKNOWN\nGET / HTTP/1.1\r\n":                             errProxyLineEnd,
		"PROXY UNKNOWN \rGET / HTTP/1.1\r\n":                            errProxyLineEnd,
		"PROXY UNKNOWN\r\r\n":                                           errProxyLineEnd,
		"PROXY UNKNOWN" + strings.Repeat(" ", 93) + "\r\n":              errProxyLine, // 108
		"PROXY TCP4 " + strings.Repeat("1", 96):                         errProxyLine,
		"PROXY \r\n":                                                    errProxyTransport,
		"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n":                        errProxyTransport,
		"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n":                        errProxyTransport,
		"PROXY UNKNOWNS\r\n":                                            errProxyTransport,
		"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n":                       errProxyTransport,
		"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n":                       errProxyAddress,
		"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n":                       errProxyAddress,
		"PROXY TCP4\r\n":                                                errProxyAddress,
		"PROXY TCP4 192.0.2.1\r\n":                                      errProxyAddress,
		"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n":                       errProxyAddress,
		"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n":                      errProxyAddress,
		"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n":                          errProxyAddress,
		"PROXY TCP4 192.0.2.1. 192.0.2.2 1 2\r\n":                       errProxyAddress,
		"PROXY TCP4 192.0.2.1 ::1 1 2\r\n":                              errProxyAddress,
		"PROXY TCP4 ::1 ::1 1 2\r\n":                                    errProxyAddress,
		"PROXY TCP4 a.b.c.d 192.0.2.2 1 2\r\n":                          errProxyAddress,
		"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n":                        errProxyAddress,
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n":                           errProxyAddress,
		"PROXY TCP6 1::2::3 ::1 1 2\r\n":                                errProxyAddress,
		"PROXY TCP6 :1:2:3:4:5:6:7 ::1 1 2\r\n":                         errProxyAddress,
		"PROXY TCP6 12345:: ::1 1 2\r\n":                                errProxyAddress,
		"PROXY TCP6 [::1] ::1 1 2\r\n":                                  errProxyAddress,
		"PROXY TCP4 192.0.2.1 192.0.2.2\r\n":                            errProxyPort,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n":                          errProxyPort,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n":                         errProxyPort,
		"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n":                       errProxyPort,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n":                    errProxyPort,
		"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n":                       errProxyPort,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n":                       errProxyPort,
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n":                      errProxyPort,
		string(proxySignature) + "\x11":                                 errProxyCommand,
		proxyBlock(0x22, 0x11, inetEnds):                                errProxyCommand,
		proxyBlock(0x2f, 0x11, inetEnds):                                errProxyCommand,
		proxyBlock(0x31, 0x11, inetEnds):                                errProxyCommand,
		proxyBlock(0x01, 0x11, inetEnds):                                errProxyCommand,
		proxyBlock(0x21, 0x41, inetEnds):                                errProxyFamily,
		proxyBlock(0x21, 0x13, inetEnds):                                errProxyFamily,
		proxyBlock(0x21, 0x03):                                          errProxyFamily,
		proxyBlock(0x21, 0x11, inetEnds[:11]):                           errProxyShort,
		proxyBlock(0x21, 0x21, inet6Ends[:35]):                          errProxyShort,
		proxyBlock(0x21, 0x31, unixEnds[:215]):                          errProxyShort,
		proxyBlock(0x21, 0x12):                                          errProxyShort,
		proxyBlock(0x21, 0x11, inetEnds, "\x01"):                        errProxyTLV,
		proxyBlock(0x21, 0x11, inetEnds, "\x01\x00"):                    errProxyTLV,
		proxyBlock(0x21, 0x11, inetEnds, "\x01\x00\x01"):                errProxyTLV,
		proxyBlock(0x21, 0x11, inetEnds, tlv(1, "h2"), "\x04"):          errProxyTLV,
		proxyBlock(0x21, 0x11, inetEnds, tlv(3, "0000")):                errProxyChecksum,
		proxyBlock(0x21, 0x11, inetEnds, tlv(3, "000")):                 errProxyChecksum,
		strings.Replace(checkedBlock, "\xc0\x00", "\xc1\x00", 1):        errProxyChecksum,
		checkedBlock[:15] + "\x20" + checkedBlock[16:] + tlv(3, "0000"): errProxyChecksum, // two
		string(proxySignature) + "\x21\x11\x3f\xf1":                     errProxyLong,
		string(proxySignature) + "\x20\x00\xff\xff":                     errProxyLong,
	} {
		for _, behind := range []string{"", "GET / HTTP/1.1\r\n\r\n"} {
			source, n, err := ParseProxyHeader([]byte(header + behind))
			if !errors.Is(err, want) || !errors.Is(err, ErrBadProxyHeader) || n != 0 || source.IsValid() {
				t.Errorf("%q: %v, %d, %v; want %v", header+behind, source, n, err, want)
			}
		}
	}
}

func TestNoProxyHeader(t *testing.T) {
	for _, other := range []string{
		"G", "GET / HTTP/1.1\r\n", "POST", "PROPFIND", "PROXYING", "proxy TCP4", " PROXY", "PROXY\r\n",
		"\n", "\r\nGET", "\r\n\r\n\r\n", "\r\n\r\n\x00\r\nQUIT\r", "\x16\x03\x01", "\x00",
	} {
		if _, n, err := ParseProxyHeader([]byte(other)); !errors.Is(err, ErrNoProxyHeader) || n != 0 {
			t.Errorf("%q: %d, %v", other, n, err)
		}
	}
}

func TestAddressesAsNetipReadsThem(t *testing.T) {
	for _, text := range []string{
		"", ":", "::", ":::", "::1", "1::", "1::2", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7:8:9", "::1:2:3:4:5:6:7",
		"::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8::", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5:1.2.3.4", "::1.2.3.4:5", "1.2.3.4::", "::1.2.3", "::256.1.1.1", "::01.1.1.1", "::1a.1.1.1", "g::", "00001::", "0001::",
		"1.2.3.4", "1.2.3.04", "1.2.3.0", "0.0.0.0", "00.0.0.0", "1.2.3.4.5", "1..2.3", ".1.2.3", "999.1.1.1", "1.2.3.4 ",
	} {
		expectAddress(t, text)
	}
}

// expectAddress compares with net/netip, which takes zones too.
func expectAddress(t *testing.T, text string) {
	t.Helper()
	want, err := netip.ParseAddr(text)
	if v4, ok := parseIPv4([]byte(text)); ok != (err == nil && want.Is4()) || ok && v4 != want {
		t.Errorf("%q as IPv4: %v, %t; net/netip says %v, %v", text, v4, ok, want, err)
	}
	if v6, ok := parseIPv6([]byte(text)); ok != (err == nil && want.Is6() && want.Zone() == "") || ok && v6 != want {
		t.Errorf("%q as IPv6: %v, %t; net/netip says %v, %v", text, v6, ok, want, err)
	}
}

func TestProxyHeaderDoesNotAllocate(t *testing.T) {
	for _, header := range []string{
		testProxyLine4, testProxyLine6, worstLine, checkedBlock, proxyBlock(0x21, 0x21, inet6Ends),
		"PROXY TCP4 x", "PROXY TCP6 x y z\r\n", "GET /", proxyBlock(0x21, 0x41),
	} {
		p := []byte(header)
		if allocs := testing.AllocsPerRun(100, func() { _, _, _ = ParseProxyHeader(p) }); allocs > 0 {
			t.Errorf("%v allocations for %.60q", allocs, header)
		}
	}
}
