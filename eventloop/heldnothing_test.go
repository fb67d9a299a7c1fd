package eventloop

import (
	"testing"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// expectNothingHeld is called for every engine of every test once it has stopped: whatever its
// clients did, nothing may stay counted, but for messages that the collector hasn't freed yet.
func expectNothingHeld(t testing.TB, e *Engine) {
	t.Helper()
	for k := range budget.Kinds {
		if n := e.budget.UsedFor(k); n != 0 && k != budget.Messages {
			t.Errorf("%d bytes of %s are left", n, k)
		}
	}
}
