package eventloop

import "testing"

// What can't become an upgrade request is refused when that is plain, not when the time for
// a request is over.
func TestHopelessRequestsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	e := start(t, &host{})
	for name, bytes := range map[string]string{
		"TLS":                       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"lines that end in LF":      "GET / HTTP/1.1\nHost: x\n\n",
		"a LF behind a good line":   "GET / HTTP/1.1\r\nHost: x\nX: y",
		"a WebSocket frame":         "\x81\x85\x00\x00\x00\x00hello",
		"bytes of another protocol": "\x00\x01\x02",
	} {
		for _, size := range []int{1, len(bytes)} {
			p := connect(t, e)
			for left := bytes; left != ""; left = left[size:] {
				p.Say(left[:size])
			}
			if got := p.Status(); got != 400 {
				t.Errorf("%s: %d, want 400", name, got)
			}
			p.ExpectEnd()
			p.Close()
		}
	}
}
