package natslog

import (
	"context"
	"errors"
	"fmt"
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
	a.opts.PublishTimeout, b.opts.PublishTimeout = 5*time.Second, 5*time.Second
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
	wstest.Eventually(t, "a node that starts is told", func() bool {
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Open(short, o)
		return errors.Is(err, errWentBack)
	})
	asked = a.conn.Stats().OutMsgs - asked
	if most := 20 * (1 + time.Since(began)/pollEvery); asked > uint64(most) {
		t.Errorf("a node that knows asked %d times in %v", asked, time.Since(began))
	}

	events, last, err := Bump(within(t), o)
	if err != nil || events == 0 || last <= start+3 {
		t.Fatalf("%d events, up to %d, %v", events, last, err)
	}
	wstest.Eventually(t, "both nodes are well", func() bool { return a.Healthy() == nil && b.Healthy() == nil })
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

// A node that hears of it late, when others that didn't know have published more than was lost.
func TestStreamThatWentBackAndOn(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	o := named(t, c, "on")
	l := open(t, o)
	c.BackUp()
	follow(l)
	mustAppend(t, l, changeOf("lost"))
	late := open(t, o)
	_ = l.Close()
	c.Restore()
	other := open(t, o)
	follow(other)
	mustAppend(t, other, changeOf("1"), changeOf("2"))
	f := follow(late)
	wstest.Eventually(t, "the node knows", isBack(late))
	wstest.Eventually(t, "the other node knows by it", isBack(other))
	if got := f.had(); len(got) != 0 {
		t.Errorf("delivered %v", seqsOf(got))
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
