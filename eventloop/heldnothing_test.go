package eventloop

import "testing"

// expectNothingHeld is called for every engine of every test once it has stopped: whatever its
// clients did, nothing may stay on the ledger.
func expectNothingHeld(t testing.TB, e *Engine) {
	t.Helper()
	for kind, bytes := range e.Stats().Buffered.Bytes {
		if held := &e.ledger.held; bytes != 0 || held[heldFrames].Load() < 0 || held[heldQueues].Load() < 0 ||
			held[heldInbound].Load() < 0 || held[heldUpgrades].Load() < 0 {
			t.Errorf("%d bytes of %s are left on the ledger: %v", bytes, kind, held)
		}
	}
	for _, l := range e.loops {
		if len(l.holds.refs) > 0 || len(l.passing) > 0 {
			t.Errorf("loop %d: %d frames are held for clients, %d pass", l.index, len(l.holds.refs), len(l.passing))
		}
	}
}
