package wsproto

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// verdict is what the head of a request that comes in pieces leads to, as a loop would look
// at it (eventloop, readHead), and how many bytes were needed.
func verdict(stream []byte, next func() int) string {
	seen, searched := 0, 0
	for seen < len(stream) {
		seen = min(seen+max(next(), 1), len(stream))
		p, from := stream[:seen], max(0, searched-3)
		end := HeadEnd(p[from:])
		if refusal := CheckHead(p, from, end); refusal != nil {
			return refused(refusal)
		}
		if end < 0 {
			if searched = len(p); searched > MaxHead {
				return refused(RefuseHeadTooLarge)
			}
			continue
		}
		if end += from; end > MaxHead {
			return refused(RefuseHeadTooLarge)
		}
		r, refusal := ParseUpgrade(p[:end])
		if refusal != nil {
			return refused(refusal)
		}
		return fmt.Sprintf("upgraded %q %q %q", r.Path, r.Host, r.Answer)
	}
	return "waits"
}

func refused(r *Refusal) string { return fmt.Sprintf("%d %s", r.Status, r.Reason) }

// However a request is cut, the answer is the same.
func FuzzHandshakeSplit(f *testing.F) {
	for i, head := range []string{
		upgradeHead("/"), "\r\n" + upgradeHead("/a?b"), upgradeHead("/") + "\x81\x80\n\n\n\n", "GET / HTTP/1.1\nHost: a\n\n",
		"\x16\x03\x01\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", upgradeHead("/", "X: a\nb"), upgradeHead("/", " folded"), "\r", "\r\n\r\n",
		upgradeHead("/", "X: "+strings.Repeat("x", MaxHead)), "GET /" + strings.Repeat("\n", 10),
	} {
		f.Add([]byte(head), uint64(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		want := verdict(stream, func() int { return len(stream) })
		if len(stream) < 2048 { // each byte is a search
			if got := verdict(stream, func() int { return 1 }); got != want {
				t.Errorf("byte by byte %q, whole %q", got, want)
			}
		}
		random := rand.New(rand.NewPCG(seed, 21))
		if got := verdict(stream, func() int { return 1 + random.IntN(1+len(stream)/4) }); got != want {
			t.Errorf("in random pieces %q, whole %q", got, want)
		}
	})
}
