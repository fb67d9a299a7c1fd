package subs

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// What is counted is about what is taken: a little more, or a tenth less.
func TestSizeIsWhatIsTaken(t *testing.T) {
	for _, c := range []struct{ clients, each, names, length int }{
		{10, 10_000, 100_000, 480},
		{10, 10_000, 100_000, 12},
		{10_000, 15, 150_000, 20},
		{10_000, 15, 1000, 20},
		{100_000, 1, 1, 10},
	} {
		if wstest.RaceEnabled { // 410,000 subscriptions take it half a minute
			c.clients, c.names = max(c.clients/10, 1), max(c.names/10, 1)
		}
		names := make([]string, c.names)
		for i := range names {
			names[i] = fmt.Sprintf("%06d%s", i, strings.Repeat("x", c.length-6))
		}
		before := live()
		x := NewIndex(NewTable(1), 0)
		for i := range c.clients * c.each {
			x.Subscribe(uint32(i/c.each), names[i%c.names])
		}
		taken := int(live() - before)
		runtime.KeepAlive(names)
		if counted := x.Size(); counted < taken*9/10 || counted > taken*2 {
			t.Errorf("%+v: %d bytes are taken, %d counted", c, taken, counted)
		}
		for client := range c.clients {
			x.Leave(uint32(client))
		}
		if x.Size() != 0 {
			t.Errorf("%+v: %d bytes when all have left", c, x.Size())
		}
	}
}
