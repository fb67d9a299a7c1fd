package hub

import "testing"

// docs/protocol.md section 5, GET /v1/stats: the numbers are those of what has happened.
func TestStats(t *testing.T) {
	h := start(t, nil)
	alice, bob := listen(t, h, "alice", ""), listen(t, h, "bob", "")
	if err := h.PublishRow(Snapshot, "", "E", "r", []byte("x")); err != nil {
		t.Fatal(err)
	}
	alice.sendAndSettle(subscribeRow)
	alice.gets(`snapshot E/r "x"`)
	bob.sendAndSettle(`{"type":"presence"}`)
	mustPublish(t, h, someChange)
	if err := h.PublishTopic("", "t", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := h.PublishPresence("", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	nothingLeft := func(l *listener) {
		for l.next().String() != `binary "end"` {
		}
	}
	if err := h.BroadcastBinary([]byte("end")); err != nil {
		t.Fatal(err)
	}
	nothingLeft(alice)
	nothingLeft(bob)
	s := h.Stats()
	for kind, n := range map[string]uint64{"change": 1, "presence": 1, "topic": 1, "row": 1, "binary": 1} {
		if s.Published[kind] != n {
			t.Errorf("%d of kind %s were published", s.Published[kind], kind)
		}
	}
	if s.Clients != 2 || s.Connections != 2 || s.Subscriptions != 1 || s.Relayed != 1 || s.MessagesIn != 2 {
		t.Errorf("clients %d of %d connections, %d subscriptions, %d relayed of %d", s.Clients, s.Connections, s.Subscriptions, s.Relayed, s.MessagesIn)
	}
	if s.LastSeq != 1 || s.OldestSeq != 1 || s.StoredRows != 1 || s.StoredBytes < 1 || s.Auth["looked_up"] != 2 {
		t.Errorf("seqs %d to %d, %d rows of %d bytes, auth %v", s.OldestSeq, s.LastSeq, s.StoredRows, s.StoredBytes, s.Auth)
	}
	eventually(t, "deliveries are counted", func() bool { return h.Stats().FramesDelivered >= 11 })
}
