package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func isBack(l *Log) func() bool {
	return func() bool { return errors.Is(l.Healthy(), errWentBack) }
}

// Nodes that have had events which the stream lost acknowledge nothing until it is made anew above them, then all of
// their clients are told, and an op whose event was lost is stored again.
func TestStreamThatWentBack(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	o := named(t, c, "back")
	o.TailBytes = 1
	a, b := open(t, o), open(t, o)
	start := a.Bounds().Last
	follow(a)
	f := follow(b)
	mustAppend(t, a, withOp(changeOf("kept"), "kept"))
	c.BackUp()
	mustAppend(t, a, withOp(changeOf("lost"), "lost"), changeOf("lost too"))
	wstest.Eventually(t, "all are delivered", func() bool { return len(f.had()) == 3 })
	a.opts.PublishTimeout, b.opts.PublishTimeout = 5*time.Second, 5*time.Second // which pass where nothing is acknowledged
	c.Restore()
	for range 3 { // as soon as it is there
		if done, err := a.Append([]hub.Change{withOp(changeOf("new"), "new")}); !errors.Is(err, hub.ErrLogUnavailable) {
			t.Fatalf("got %+v, %v", done, err)
		}
	}
	wstest.Eventually(t, "both nodes know", func() bool { return isBack(a)() && isBack(b)() })
	if done, err := b.Append([]hub.Change{withOp(changeOf("lost"), "lost")}); !errors.Is(err, hub.ErrLogUnavailable) {
		t.Errorf("an op that was lost: %+v, %v", done, err)
	}
	if page, err := a.Range(within(t), start, 10); !errors.Is(err, hub.ErrLogUnavailable) {
		t.Errorf("what may be other events: %v, %v", seqsOf(page.Entries), err)
	}
	asked, began := a.conn.Stats().OutMsgs, time.Now()
	checkWaits(t, o)
	<-time.After(pollEvery)
	asked = a.conn.Stats().OutMsgs - asked
	if most := 20 * (1 + time.Since(began)/pollEvery); asked > uint64(most) {
		t.Errorf("a node that knows asked %d times in %v", asked, time.Since(began))
	}

	events, last, err := Bump(within(t), o)
	if err != nil || events == 0 || last <= start+3 {
		t.Fatalf("%d events, up to %d, %v", events, last, err)
	}
	wstest.Eventually(t, "both nodes are well", func() bool { return a.Healthy() == nil && b.Healthy() == nil })
	b.opts.PublishTimeout = wstest.Patience
	if got := f.had(); len(got) != 4 || got[3].JSON != nil || got[3].Seq != last {
		t.Errorf("got %+v, and all up to %d is lost", got[len(got)-1], last)
	}
	for i, op := range []string{"lost", "new", "kept"} {
		done := mustAppend(t, b, withOp(changeOf(op), op))
		if repeated := op == "kept"; done[0].Repeated != repeated || !repeated && done[0].Seq != last+1+uint64(i) {
			t.Errorf("%s: got %+v", op, done)
		}
	}
	if _, err := a.Range(within(t), start+3, 10); !errors.As(err, new(*hub.ResyncError)) {
		t.Errorf("a cursor from before: %v", err)
	}
}

// checkWaits is that a node which starts waits for the bump.
func checkWaits(t *testing.T, o Options) {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var log wstest.Text
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	waits := make(chan error, 1)
	go func() {
		_, err := Open(ctx, o)
		waits <- err
	}()
	wstest.Eventually(t, "a node that starts says so", func() bool { return strings.Contains(log.String(), errWentBack.Error()) })
	cancel()
	if err := <-waits; err == nil {
		t.Error("a node that starts does")
	}
}

// A node that hears of it late, when others that didn't know have published less or more than was lost.
func TestStreamThatWentBackAndOn(t *testing.T) {
	t.Parallel()
	for name, others := range map[string][]hub.Change{
		"less": {withOp(changeOf("1"), "1")},
		"more": {withOp(changeOf("1"), "1"), withOp(changeOf("2"), "2"), withOp(changeOf("3"), "3")},
	} {
		t.Run(name, func(t *testing.T) { testStreamThatWentBackAndOn(t, others) })
	}
}

func testStreamThatWentBackAndOn(t *testing.T, others []hub.Change) {
	c := natstest.Start(t, 1, natstest.InMemory(t))
	o := named(t, c, "on")
	l := open(t, o)
	follow(l)
	mustAppend(t, l, withOp(changeOf("kept"), "kept"))
	c.BackUp()
	mustAppend(t, l, withOp(changeOf("lost"), "lost"), changeOf("lost too"))
	late := open(t, o) // and doesn't look yet
	_ = l.Close()
	c.Restore()
	other := open(t, o)
	follow(other)
	mustAppend(t, other, others...)
	f := follow(late)
	wstest.Eventually(t, "the node knows", isBack(late))
	wstest.Eventually(t, "the other node knows by it", isBack(other))
	if got := f.had(); len(got) != 0 {
		t.Errorf("delivered %v", seqsOf(got))
	}
	checkBumped(t, o, late)
}

// A node that comes back to a stream which went back and was bumped meanwhile can't tell what was lost.
func TestStreamThatWentBackAndWasBumped(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	o := named(t, c, "unseen")
	l := open(t, o)
	follow(l)
	c.BackUp()
	mustAppend(t, l, withOp(changeOf("lost"), "lost"))
	late := open(t, o)
	_ = l.Close()
	c.Restore()
	_, last, err := Bump(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	wstest.Eventually(t, "it is back", func() bool { return late.health.unsure.Load() })
	if got := mustAppend(t, late, withOp(changeOf("lost"), "lost")); got[0] != (hub.Appended{Seq: last + 1}) {
		t.Errorf("got %+v behind %d", got, last)
	}
}

// checkBumped is that after a bump an op that was lost is stored again, and one that wasn't isn't.
func checkBumped(t *testing.T, o Options, l *Log) {
	t.Helper()
	_, last, err := Bump(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	wstest.Eventually(t, "the node is well", func() bool { return l.Healthy() == nil })
	for _, op := range []string{"lost", "kept"} {
		if got := mustAppend(t, l, withOp(changeOf(op), op)); got[0].Repeated != (op == "kept") || op == "lost" && got[0].Seq != last+1 {
			t.Errorf("%s: got %+v behind %d", op, got, last)
		}
	}
}

// What is republished shows it too, at once.
func TestAnotherMessageAtASeq(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	l := open(t, named(t, c, "another"))
	f := follow(l)
	last := mustAppend(t, l, changeOf("1"))[0].Seq
	var messages []*nats.Msg
	for seq := last; seq <= last+1; seq++ {
		m := nats.NewMsg(l.feedSubject())
		m.Data = hub.EncodeChange(new(changeOf("other")))
		m.Header.Set(jetstream.SequenceHeader, fmt.Sprint(seq))
		m.Header.Set(jetstream.MsgIDHeader, fmt.Sprint("/other", seq))
		messages = append(messages, m)
	}
	l.takeRepublished(messages)
	if err := l.doubted(); !errors.Is(err, errWentBack) || len(f.had()) != 1 {
		t.Errorf("%v, delivered %v", err, seqsOf(f.had()))
	}
}
