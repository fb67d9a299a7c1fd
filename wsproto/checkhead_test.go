package wsproto

import (
	"strings"
	"testing"
)

// A head is judged the same however it comes, and as soon as what is wrong with it is there.
func TestCheckHead(t *testing.T) {
	good := upgradeHead("/")
	for _, c := range []struct {
		name, head string
		want       *Refusal
		at         int // bytes that are enough to see it; 0: all
	}{
		{"an upgrade request", good, nil, 0},
		{"behind an empty line", "\r\n" + good, nil, 0},
		{"with frames behind it", good + "\x81\x85\n\n\n\nhello\n", nil, 0},
		{"a TLS record", "\x16\x03\x01\x00\xc8", refuseNotHTTP, 1},
		{"a space", " GET / HTTP/1.1\r\n", refuseNotHTTP, 1},
		{"a NUL behind an empty line", "\r\n\x00", refuseNotHTTP, 3},
		{"an empty line with LF", "\nGET / HTTP/1.1\r\n", refuseNotHTTP, 1},
		{"LF behind the request line", "GET / HTTP/1.1\nHost: a\n\n", refuseLineEnd, 15},
		{"LF behind a header", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", refuseLineEnd, 24},
		{"LF behind an empty line", "\r\n\nGET", refuseNotHTTP, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := CheckHead([]byte(c.head), 0, HeadEnd([]byte(c.head))); got != c.want {
				t.Errorf("whole: %+v, want %+v", got, c.want)
			}
			searched := 0
			for n := 1; n <= len(c.head); n++ {
				p := []byte(c.head[:n])
				from := max(0, searched-3)
				end := HeadEnd(p[from:])
				got := CheckHead(p, from, end)
				if got != nil && (got != c.want || n != c.at) || got == nil && n == c.at {
					t.Fatalf("after %d bytes: %+v, want %+v after %d", n, got, c.want, c.at)
				}
				if got != nil || end >= 0 {
					return
				}
				searched = n
			}
		})
	}
}

// RFC 9110 2.5: a higher minor version is read as HTTP/1.1.
func TestHigherMinorVersion(t *testing.T) {
	head := strings.Replace(upgradeHead("/"), "HTTP/1.1", "HTTP/1.2", 1)
	if r, refusal := ParseUpgrade([]byte(head)); refusal != nil || r == nil {
		t.Errorf("refused: %+v", refusal)
	}
}
