package loadgen

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/sys/unix"
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
	l := s.latency
	if s.report.Deliveries != 1100 || l.TotalCount() != 1000 || s.report.Faults.Any() {
		t.Fatalf("%d deliveries, %d recorded, %v", s.report.Deliveries, l.TotalCount(), s.report.Faults)
	}
	for want, got := range map[time.Duration]int64{500: l.ValueAtQuantile(50), 900: l.ValueAtQuantile(90), 990: l.ValueAtQuantile(99), 1000: l.Max()} {
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

// Centrifugo's lines: an answer makes a client one, pings are answered, data is checked like any
// message, and a complaint ends the connection.
func TestLinesOfCentrifugo(t *testing.T) {
	s, err := newSwarm(make(chan struct{}, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	s.sizes, s.plan.Protocol, s.pending = Mixture{{40, 1}}, runner.Centrifugo, 1
	m := &member{fd: int32(pair[0]), state: joining}
	say := func(lines ...string) error {
		_, err := s.take(m, ws.MustCompileFrame(ws.NewTextFrame([]byte(strings.Join(lines, "\n")))), Now())
		return err
	}
	push := func(seq uint64, size int) string {
		var stamp [stampSize]byte
		putStamp(stamp[:], seq, Now())
		return fmt.Sprintf(`{"push":{"channel":"bench","pub":{"data":"%x%s","offset":1}}}`, stamp, strings.Repeat("x", size-MinSize))
	}
	if err := say(`{"id":1,"connect":{"ping":25}}`); err != nil || m.state != joining {
		t.Errorf("an answer to connect: %v, state %d", err, m.state)
	}
	if err := say(`{"id":2,"subscribe":{}}`, "{}", push(0, 40), push(1, 40)); err != nil || m.state != open || s.report.Deliveries != 2 {
		t.Errorf("%v, state %d, %d deliveries", err, m.state, s.report.Deliveries)
	}
	there := os.NewFile(uintptr(pair[1]), "the server's end")
	defer there.Close()
	if pong, err := wsutil.ReadClientText(there); err != nil || string(pong) != "{}" {
		t.Errorf("the pong: %q, %v", pong, err)
	}
	if err := say(push(1, 40), push(2, 41), `{"push":{"channel":"bench","pub":{"data":"probe"}}}`); err != nil || s.report.Faults != (Faults{Repeated: 1, Foreign: 1}) || s.report.Texts != 1 {
		t.Errorf("%v, %v, %d others", err, s.report.Faults, s.report.Texts)
	}
	if err := say(`{"id":2,"error":{"code":103,"message":"permission denied"}}`); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a complaint: %v", err)
	}
}
