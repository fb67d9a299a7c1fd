package natslog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

// Follow begins to deliver what comes behind the Bounds that there are before the first Append.
func (l *Log) Follow(deliver func([]hub.Entry)) {
	l.taking.Lock()
	l.deliver = deliver
	l.taking.Unlock()
	l.start()
}

// start begins to take what comes. Until then Bounds stay what they were, so that who asked for them before Follow
// is delivered all that follows on them.
func (l *Log) start() {
	l.started.Do(func() {
		l.running.Go(l.takeFeed)
		l.running.Go(l.poll)
	})
}

// takeFeed takes what the stream's leader republishes.
func (l *Log) takeFeed() {
	for taken := uint64(0); ; {
		m, err := l.feed.NextMsgWithContext(l.ctx)
		switch {
		case errors.Is(err, nats.ErrSlowConsumer): // what was dropped is a hole
			continue
		case err != nil:
			return // closed
		}
		batch := []*nats.Msg{m}
		for len(batch) < readMessages {
			if waiting, _, err := l.feed.Pending(); err != nil || waiting == 0 {
				break
			}
			if m, err = l.feed.NextMsgWithContext(l.ctx); err != nil {
				break
			}
			batch = append(batch, m)
		}
		l.takeRepublished(batch)
		taken += uint64(len(batch))
		l.feed.taken.Reach(taken)
	}
}

// awaitFeed returns when all has been taken that had come by itself.
func (l *Log) awaitFeed() error {
	for {
		before, err := l.feed.Delivered()
		waiting, _, errWaiting := l.feed.Pending()
		after, _ := l.feed.Delivered()
		if errors.Join(err, errWaiting) != nil {
			return nil // nothing comes any more
		}
		if before == after { // else waiting is of another moment
			return l.feed.taken.Await(l.ctx, uint64(before)+uint64(waiting))
		}
	}
}

// takeRepublished fills the holes between messages. Where that fails the rest is left to the poll.
func (l *Log) takeRepublished(batch []*nats.Msg) {
	l.taking.Lock()
	defer l.taking.Unlock()
	if l.doubted() != nil {
		return // poll reads it if it is to be believed
	}
	var run []stored // follows on at
	end := l.at
	for _, m := range batch {
		seq := natsconn.Number(m.Header, jetstream.SequenceHeader)
		if seq == l.at && differ(m.Header.Get(jetstream.MsgIDHeader), l.ids.newest) {
			_ = l.suspect(errWentBack)
			return
		}
		if seq <= end {
			continue // read before it came
		}
		// The stream has one subject, so that the leader says which message was before this one.
		if prev := natsconn.Number(m.Header, natsconn.LastSequence); seq != end+1 && (prev == 0 || prev > end) {
			l.take(run)
			run = nil
			err := l.fill(l.ctx, seq-1, true)
			if err == nil && l.at < prev {
				err = fmt.Errorf("the stream's leader has no message %d: it is new, and has it in a moment", prev)
			}
			if err != nil {
				l.note(err)
				return
			}
			if end = l.at; seq <= end { // what was read went on behind the hole
				continue
			}
		}
		run, end = append(run, stored{seq: seq, id: m.Header.Get(jetstream.MsgIDHeader), data: m.Data}), seq
	}
	l.take(run)
}

// askNow has poll ask the leader without waiting for the time to come.
func (l *Log) askNow() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// lookAgain is for when the stream may have changed behind this node's back.
func (l *Log) lookAgain() {
	l.health.unsure.Store(true)
	l.askNow()
}

// poll asks the leader what there is, and reads what hasn't come.
func (l *Log) poll() {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.poke:
		case <-ticker.C:
		}
		if l.ctx.Err() == nil {
			l.note(l.ask())
		}
	}
}

func (l *Log) ask() error {
	if !l.conn.IsConnected() {
		return natsconn.ErrAway
	}
	had := l.had()
	info, err := l.info(l.ctx)
	if err == nil {
		err = serving(info)
	}
	if err == nil || errors.Is(err, errWentBack) { // then too: what this node knows of it may be wrong
		if lost := l.verify(info, had); lost != nil {
			err = lost
		}
	}
	if err != nil {
		return err
	}
	if err := l.follow(info.State.LastSeq); err != nil {
		return err
	}
	return natsconn.Unfit(info.Config, l.config(0))
}

// follow reads what hasn't come by itself.
func (l *Log) follow(last uint64) error {
	grace, cancel := context.WithTimeout(l.ctx, pollGrace)
	defer cancel()
	if l.reached.Await(grace, last) == nil {
		return nil
	}
	fill := func(letGo bool) error {
		l.taking.Lock()
		defer l.taking.Unlock()
		return l.fill(l.ctx, last, letGo)
	}
	err := fill(false)
	if !errors.Is(err, errLetGo) {
		return err
	}
	// A node that stood still may have them waiting: they were republished before the stream let go of them.
	if err := l.awaitFeed(); err != nil {
		return err
	}
	return fill(true)
}

// errLetGo says that what is missing can't be read, see fill.
var errLetGo = errors.New("the stream has let go of what is missing")

// note keeps what is wrong, and logs when that begins and ends.
func (l *Log) note(err error) {
	h := &l.health
	if err == nil {
		if h.unwell.Swap(nil) != nil {
			l.opts.Logger.Info("the change log is well again")
		}
		return
	}
	if !errors.Is(err, natsconn.ErrUnfit) { // else it has what it had
		h.unsure.Store(true)
	}
	if h.unwell.Swap(&err) == nil && l.ctx.Err() == nil {
		l.opts.Logger.Warn("the change log has trouble", "error", err)
	}
}

// fill reads what is missing up to seq. What the stream doesn't have any more is errLetGo, or lost to this node's clients
// with letGo. The caller holds taking.
func (l *Log) fill(ctx context.Context, seq uint64, letGo bool) error {
	for l.at < seq {
		batch, err := l.read(ctx, l.at+1, readMessages)
		if err != nil {
			return err
		}
		if len(batch) == 0 || batch[0].seq > l.at+1 {
			gone, err := l.goneFrom(ctx, l.at+1)
			if err != nil {
				return err
			}
			if len(batch) > 0 {
				gone = batch[0].seq - 1
			}
			if gone == l.at { // the leader is new, and has them in a moment
				return nil
			}
			if !letGo {
				return errLetGo
			}
			l.pass(gone)
		}
		l.take(batch)
	}
	return nil
}

// pass goes on behind messages up to seq that the stream hasn't any more. The caller holds taking.
func (l *Log) pass(seq uint64) {
	// What was deleted before this node began was never for its clients, and readers find it so in the stream.
	if l.deliver != nil || l.known.Load().FirstSeq > l.at+1 {
		l.tail.Skip(seq)
		l.last = seq
	}
	if l.deliver != nil {
		l.opts.Logger.Error("the stream let go of events before this node had them", "from", l.at+1, "to", seq)
		l.deliver([]hub.Entry{{Seq: seq, Prev: seq}})
	}
	l.at, l.ids.newest = seq, ""
	l.reached.Reach(seq)
}

// take delivers messages that follow on at. The caller holds taking.
func (l *Log) take(batch []stored) {
	if len(batch) == 0 {
		return
	}
	entries := make([]hub.Entry, 0, len(batch))
	for _, m := range batch {
		if e, ok := l.entry(m, l.last); ok {
			entries, l.last = append(entries, e), m.seq
		}
	}
	newest := batch[len(batch)-1]
	l.at, l.ids.newest = newest.seq, newest.id
	l.tail.Add(entries...)
	if len(entries) > 0 && l.deliver != nil {
		l.deliver(entries)
	}
	l.remember(batch)
	l.reached.Reach(l.at)
}

// entry is the message as an entry; not ok when somebody else published it, and it is no change.
func (l *Log) entry(m stored, prev uint64) (hub.Entry, bool) {
	c, err := hub.DecodeChange(m.data)
	if err != nil || c.Entity == "" {
		l.opts.Logger.Warn("a message of the stream is no change event", "seq", m.seq, "error", err)
		return hub.Entry{}, false
	}
	return hub.NewEntry(m.seq, prev, &c), true
}
