package eventloop

import (
	"io"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// trickle writes a piece every now and then until the connection ends.
func (p *peer) trickle(piece string) {
	every := time.NewTicker(20 * time.Millisecond)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer every.Stop()
		for range every.C {
			if _, err := io.WriteString(p, piece); err != nil {
				return
			}
		}
	}()
	p.T.Cleanup(func() { p.Close(); <-done })
}

// What has to be over by some time isn't put off by bytes that go on coming: a request a
// byte at a time, frames ahead of an answer that is late, anything behind a refusal or Close.
func TestTrickleProlongsNothing(t *testing.T) {
	t.Parallel()
	pieces := map[string]string{
		"nothing sent": "G", "half a request": "x", "authorising": clientFrame(ws.OpPing, ""),
		"refused": "x", "rejected": clientFrame(ws.OpPing, ""), "closing": clientFrame(ws.OpPing, ""),
		"closing behind what is owed": clientFrame(ws.OpPing, ""), "draining": clientFrame(ws.OpPing, ""),
	}
	for _, s := range situations() {
		piece, ok := pieces[s.name]
		if !ok {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := newCrowd(t, &s, func(o *Options) { closeBy(o); o.MaxMessageIn = 64 << 10 })
			p, c := g.join()
			if s.drain {
				g.drain()
			}
			began := time.Now()
			p.trickle(piece)
			var end outcome
			eventually(t, "it ends", func() (over bool) { end, over = g.look(c); return over })
			if end.cause != s.silence {
				t.Errorf("it ended by %v, want %v", end.cause, s.silence)
			}
			if took, most := time.Since(began), bound(&g.engine.opts, s.silence); took > most+slack {
				t.Errorf("it ended after %v, at most %v is fine", took, most)
			}
			g.nothingLeft()
		})
	}
}
