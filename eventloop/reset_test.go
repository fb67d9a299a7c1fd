package eventloop

import (
	"fmt"
	"net"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/mailbox"
	"github.com/busbar-ws/busbar/subs"
)

// reset breaks the connection with an RST.
func (p *peer) reset() {
	p.T.Helper()
	must(p.T, p.Conn.(*net.TCPConn).SetLinger(0))
	must(p.T, p.Close())
}

// A write that fails in the middle of a flush takes that client out of what is being
// walked. Nobody is skipped, nobody is served twice: broadcast, topic and user alike.
func TestWritesThatFailInAFlush(t *testing.T) {
	t.Parallel()
	audiences := map[string]*Audience{
		"everyone": nil,
		"a topic":  {Key: "topic"},
		"a user":   {Label: LabelUser, Names: []string{"u"}},
	}
	for name, a := range audiences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &host{}
			e := start(t, h, func(o *Options) { o.Loops = 1 })
			var peers []*peer
			dial(t, e, "name=bystander") // otherwise "u" would be everyone
			for i := range 50 {
				client := fmt.Sprint(i)
				peers = append(peers, dial(t, e, "user=u&name="+client))
				on(t, e, h.id(client), func(c *Client) { c.Subscribe("topic") })
			}
			frame := text("for %s", name)
			// The loop doesn't get to hear of the resets before it writes.
			everyLoop(t, e, func(l *Loop) {
				for i, p := range peers {
					if i%5 == 2 {
						p.reset()
					}
				}
				l.mailbox.taken = append(l.mailbox.taken, mailbox.Item[entry]{Value: entry{frame: frame, audience: resolved(e, a)}})
			})
			e.Publish(text("and one more"), a)
			for i, p := range peers {
				if i%5 != 2 {
					p.Expect(ws.OpText, "for "+name)
					p.Expect(ws.OpText, "and one more")
				}
			}
			if n := closedBy(e, CauseReset); n != 10 || e.Clients() != 41 || e.Connections() != 41 {
				t.Errorf("%d resets, %d clients, %d connections; want 10, 41, 41", n, e.Clients(), e.Connections())
			}
			everyLoop(t, e, func(l *Loop) {
				if l.subs.Count() != 40 || l.clients.count != 41 {
					t.Errorf("%d subscriptions and %d clients are left", l.subs.Count(), l.clients.count)
				}
			})
		})
	}
}

// resolved is the audience as Publish hands it to a loop.
func resolved(e *Engine, a *Audience) *Audience {
	if a == nil || a.Key == "" {
		return a
	}
	var key *subs.Key = e.table.Lookup(a.Key)
	return &Audience{Key: a.Key, key: key}
}

// The same by the front door: clients are reset right before broadcasts, many times.
func TestResetsRightBeforeBroadcasts(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	var staying []*peer
	for i := range 40 {
		staying = append(staying, dial(t, e, fmt.Sprint("name=", i)))
	}
	for round := range 5 {
		var leaving []*peer
		for range 10 {
			leaving = append(leaving, dial(t, e, ""))
		}
		for _, p := range leaving {
			p.reset()
			e.Publish(text("round %d", round), nil)
		}
		for _, p := range staying {
			for range leaving {
				p.Expect(ws.OpText, fmt.Sprint("round ", round))
			}
		}
		eventually(t, "those that were reset have gone", func() bool { return e.Connections() == len(staying) })
	}
	if n := closedBy(e, CauseReset); n != 50 {
		t.Errorf("%d resets are counted, want 50", n)
	}
}
