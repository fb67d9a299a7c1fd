package eventloop

import (
	"fmt"
	"log/slog"
	"testing"
)

// A loop whose crowd has left has no tick, as one that never had a client; and few that stay of a crowd are
// looked at once a second.
func TestLoopSleepsWhenACrowdHasLeft(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops = 1 })
	var peers []*peer
	for i := range roundAtOnce + 10 {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	leave := func(peers []*peer) {
		for _, p := range peers {
			p.Close()
		}
	}
	leave(peers[1:])
	eventually(t, "ticks are a round apart", func() (apart bool) {
		everyLoop(t, e, func(l *Loop) { l.onTick(); apart = l.clients.count == 1 && l.ticker.at%roundTicks == 0 })
		return apart
	})
	leave(peers[:1])
	eventually(t, "there is no tick", func() (none bool) {
		everyLoop(t, e, func(l *Loop) { none = l.clients.count == 0 && l.ticker.at == 0 })
		return none
	})
}

// A panic in a tick costs that tick alone.
func TestTicksGoOnAfterAPanic(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops, o.Log = 1, slog.New(slog.DiscardHandler) })
	dial(t, e, "name=x")
	stopTicking(t, e)
	everyLoop(t, e, func(l *Loop) {
		lagging := l.behind.laggards
		l.behind.laggards = []*Client{nil}
		l.guard(nil, l.wholeTick)
		l.behind.laggards = lagging
		if panicsOf(e) != 1 || l.ticker.at == 0 {
			t.Errorf("%d panics, and the next tick is at %d", panicsOf(e), l.ticker.at)
		}
	})
}
