package wsproto

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func TestAppendFrame(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int
		header []byte
	}{
		{"5.7 empty", 0, []byte{0x82, 0}},
		{"5.2 the longest of 7 bits", 125, []byte{0x82, 125}},
		{"5.2 the shortest of 16 bits", 126, []byte{0x82, 126, 0, 126}},
		{"5.7 256 bytes", 256, []byte{0x82, 126, 1, 0}},
		{"5.2 the longest of 16 bits", 65535, []byte{0x82, 126, 0xff, 0xff}},
		{"5.7 64 KiB", 65536, []byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			payload := bytes.Repeat([]byte{7}, c.length)
			got := AppendFrame([]byte("before"), ws.OpBinary, payload)
			if want := frames([]byte("before"), c.header, payload); !bytes.Equal(got, want) {
				t.Errorf("got % .40x, want % .40x", got, want)
			}
			if HeaderSize(c.length) != len(c.header) {
				t.Errorf("HeaderSize is %d, want %d", HeaderSize(c.length), len(c.header))
			}
		})
	}
}

func TestAppendHeaderOfNegativeLength(t *testing.T) {
	if got := AppendHeader(nil, ws.OpText, -1); !bytes.Equal(got, []byte{0x81, 0}) {
		t.Errorf("got % x", got)
	}
}

func TestAppendClose(t *testing.T) {
	for _, c := range []struct {
		name, reason, want string
		code               ws.StatusCode
	}{
		{"5.5.1 code and reason", "bye", "\x03\xe8bye", 1000},
		{"5.5.1 no reason", "", "\x03\xf5", StatusTryAgainLater},
		{"5.5 123 bytes fit", strings.Repeat("r", 123), "\x03\xe8" + strings.Repeat("r", 123), 1000},
		{"5.5 124 bytes are cut", strings.Repeat("r", 124), "\x03\xe8" + strings.Repeat("r", 123), 1000},
		{"5.5.1 cut before a rune", strings.Repeat("r", 122) + "é", "\x03\xe8" + strings.Repeat("r", 122), 1000},
		{"5.5.1 not UTF-8", "ab\xffcd", "\x03\xe8ab", 1000},
		{"7.4.1 1005 isn't sent", "no status", "", 1005},
		{"7.4.1 1006 isn't sent", "", "", 1006},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := frames([]byte{0x88, byte(len(c.want))}, []byte(c.want))
			if got := AppendClose(nil, c.code, c.reason); !bytes.Equal(got, want) {
				t.Errorf("got % x, want % x", got, want)
			}
		})
	}
}
