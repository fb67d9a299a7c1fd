package eventloop

import "testing"

// A client that is always owed something, of whatever kind, keeps places for what it is owed
// and not for all that it ever was.
func TestQueueThatIsNeverEmpty(t *testing.T) {
	for name, asked := range map[string]bool{"sent": false, "asked for": true} {
		t.Run(name, func(t *testing.T) {
			x := newSendQueueTest(t, asIs)
			const deep = 40
			for range deep {
				x.queue(1, asked)
			}
			for range 10_000 {
				x.queue(1, asked)
				x.take(3)
				x.check()
			}
			if n := cap(x.c.queue.frames); n > 8*deep {
				t.Errorf("%d frames are owed, the queue has %d places", deep, n)
			}
			x.end()
		})
	}
}
