package loadgen

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Deliveries with known delays give a histogram of them, to its three digits; those before
// the first that counts don't.
func TestLatencyOfKnownDelays(t *testing.T) {
	s, err := newSwarm(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.sizes, s.recordFrom, s.tally.clients = Mixture{{64, 1}}, 100, 1
	m := &member{state: open, position: newPosition(0)}
	const published = int64(1e15)
	for seq := range uint64(1100) {
		delay := time.Hour
		if seq >= 100 {
			delay = time.Duration(seq-99) * time.Millisecond // 1 ms to 1 s
		}
		payload := make([]byte, 64)
		putStamp(payload, seq, published)
		if _, err := s.take(m, ws.MustCompileFrame(ws.NewBinaryFrame(payload)), published+int64(delay)); err != nil {
			t.Fatal(err)
		}
	}
	l := LatencyOf(s.latency)
	if s.report.Deliveries != 1100 || l.Count != 1000 || s.report.Faults.Any() {
		t.Fatalf("%d deliveries, %d recorded, %v", s.report.Deliveries, l.Count, s.report.Faults)
	}
	for want, got := range map[time.Duration]int64{500: l.P50, 900: l.P90, 990: l.P99, 999: l.P999, 1000: l.Max} {
		want *= time.Millisecond
		if math.Abs(float64(got)/float64(want)-1) > 0.001 {
			t.Errorf("%v, want %v", time.Duration(got), want)
		}
	}
}

func TestPingsAndOthersAreNoDeliveries(t *testing.T) {
	s, err := newSwarm(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.sizes, s.tally.clients = Mixture{{64, 1}}, 1
	m := &member{state: open, position: newPosition(0), fd: -1}
	for _, f := range []ws.Frame{ws.NewPingFrame(nil), ws.NewPongFrame(nil), ws.NewTextFrame([]byte("{}"))} {
		if _, err := s.take(m, ws.MustCompileFrame(f), 0); err != nil {
			t.Fatal(err)
		}
	}
	if s.report.Deliveries != 0 || s.report.Texts != 1 || s.report.Faults.Any() {
		t.Errorf("%+v", s.report)
	}
	_, err = s.take(m, ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1013, ""))), 0)
	if err == nil || !strings.Contains(err.Error(), "close code 1013") {
		t.Errorf("a Close frame: %v", err)
	}
}
