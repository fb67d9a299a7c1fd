package natslog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

// sending is a change on its way into the stream. It belongs to its Append, but for came.
type sending struct {
	id    string
	data  []byte
	after uint64 // what a bump has let go of: that something with this id was stored up to there doesn't count
	tried bool   // an attempt has ended without an answer, so that it may be stored

	seq      uint64 // 0 until it is known
	repeated bool

	came uint64        // its seq when the follower has had it; under Log.ids
	had  chan struct{} // closed then
}

// A batch is stored whole or not at all, up to so many messages, which is what servers take, and bytes.
const (
	batchMessages = 1000
	batchBytes    = 4 << 20
)

// feedPatience is how long the follower has for what was stored just now before the leader is asked for it.
const feedPatience = 50 * time.Millisecond

// Append waits for up to PublishTimeout for each batch. Between two batches, and beside changes that were there before,
// others' may come.
func (l *Log) Append(changes []hub.Change) ([]hub.Appended, error) {
	sent, distinct, err := l.prepare(changes)
	if err != nil {
		return nil, err
	}
	l.start()
	l.expect(distinct)
	defer l.forget(distinct)
	before := l.tail.Bounds().Last
	for rest := distinct; len(rest) > 0 && err == nil; {
		n := firstBatch(rest)
		err = l.store(rest[:n], before)
		rest = rest[n:]
	}
	results := make([]hub.Appended, 0, len(sent))
	answered := make(map[*sending]bool)
	for _, s := range sent {
		if s.seq == 0 {
			break
		}
		results = append(results, hub.Appended{Seq: s.seq, Repeated: s.repeated || answered[s]})
		if len(distinct) < len(sent) {
			answered[s] = true
		}
	}
	if len(distinct) > 0 {
		newest := slices.MaxFunc(distinct, func(a, b *sending) int { return cmp.Compare(a.seq, b.seq) })
		l.awaitFollower(newest) // at once where none is stored
	}
	return results, err
}

// prepare has one sending for each change, and those that differ.
func (l *Log) prepare(changes []hub.Change) (sent, distinct []*sending, err error) {
	const headers = 256 // and what a batch adds
	most := l.conn.MaxPayload()
	byID := make(map[string]*sending)
	for i := range changes {
		c := &changes[i]
		if c.Seq != 0 {
			return nil, nil, errors.New("a stream numbers its messages itself: publishers' own seqs can't be kept")
		}
		id := "/" + nuid.Next() // no op id's, see idOf: so that trying again stores it once
		if c.OpID != "" {
			id = idOf(c.OpID)
			if s := byID[id]; s != nil {
				sent = append(sent, s)
				continue
			}
		}
		s := &sending{id: id, after: l.known.bumped.Load(), data: hub.EncodeChange(c), had: make(chan struct{})}
		if size := int64(len(s.data) + len(s.messageID()) + headers); size > most {
			return nil, nil, fmt.Errorf("%w: its %d bytes are more than the %d that NATS takes in one message (max_payload)", hub.ErrTooLarge, size, most)
		}
		if c.OpID != "" {
			byID[id] = s
		}
		sent, distinct = append(sent, s), append(distinct, s)
	}
	return sent, distinct, nil
}

// idOf is the op id as a header's value, the same in most cases.
func idOf(opID string) string { return url.PathEscape(opID) }

// messageID is other than before once a bump has let go of what was stored: servers know ids of what isn't there any
// more.
func (s *sending) messageID() string {
	if s.after == 0 {
		return s.id
	}
	return fmt.Sprint(s.id, "/", s.after)
}

// sendingOf is the id of the sending whose messageID it is. An escaped op id has no slash.
func sendingOf(messageID string) string {
	if end := strings.LastIndexByte(messageID, '/'); end > 0 {
		return messageID[:end]
	}
	return messageID
}

// expect has the follower tell of them.
func (l *Log) expect(sent []*sending) {
	l.ids.Lock()
	defer l.ids.Unlock()
	for _, s := range sent {
		l.ids.pending[s.id] = append(l.ids.pending[s.id], s)
	}
}

func (l *Log) forget(sent []*sending) {
	l.ids.Lock()
	defer l.ids.Unlock()
	for _, s := range sent {
		others := slices.DeleteFunc(l.ids.pending[s.id], func(p *sending) bool { return p == s })
		if len(others) == 0 {
			delete(l.ids.pending, s.id)
		} else {
			l.ids.pending[s.id] = others
		}
	}
}

// remember is told of what the follower has had.
func (l *Log) remember(batch []stored) {
	l.ids.Lock()
	defer l.ids.Unlock()
	for _, m := range batch {
		id := sendingOf(m.id)
		for _, s := range l.ids.pending[id] {
			if s.came == 0 {
				s.came = m.seq
				close(s.had)
			}
		}
		if !strings.HasPrefix(id, "/") {
			l.ids.ops.Add(id, m.seq, time.Now())
		}
	}
}

// unsettled are those that aren't known to be stored. What is remembered says nothing while the stream may have gone back.
func (l *Log) unsettled(sent []*sending) (rest []*sending, err error) {
	l.ids.Lock()
	defer l.ids.Unlock()
	l.ids.ops.Expire(time.Now())
	for _, s := range sent {
		if s.seq == 0 && s.came != 0 {
			s.seq, s.repeated = s.came, !s.tried // else another call with this op id was first
		}
		if s.seq == 0 {
			seq, seen := l.ids.ops.Seen(s.id)
			if seen && (l.health.unsure.Load() || !l.conn.IsConnected()) {
				return nil, errUnsure
			}
			s.seq, s.repeated = seq, seen
		}
		if s.seq == 0 {
			rest = append(rest, s)
		}
	}
	return rest, nil
}

func firstBatch(sent []*sending) int {
	bytes := 0
	for i, s := range sent {
		if bytes += len(s.data); i > 0 && bytes > batchBytes || i == batchMessages {
			return i
		}
	}
	return len(sent)
}

// store publishes until all of a batch are stored, or the time is up. before is the newest seq when Append began.
func (l *Log) store(batch []*sending, before uint64) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.PublishTimeout+time.Duration(len(batch))*natsconn.StoreTimeout)
	defer cancel()
	return natsconn.Store(ctx, func() error {
		for {
			if err := l.doubted(); err != nil {
				return err
			}
			rest, err := l.unsettled(batch)
			if err != nil || len(rest) == 0 {
				return err
			}
			err = l.publish(ctx, rest, before)
			if natsconn.HasCode(err, natsconn.RepeatedInABatch) {
				// Most often it is what an attempt has stored that had no answer: then the follower has it soon.
				err = l.catchUp(ctx)
				var still []*sending
				if err == nil {
					still, err = l.unsettled(batch)
				}
				if err == nil && len(still) == len(rest) {
					err = l.publishHalves(ctx, rest, before)
				}
			}
			if err != nil {
				return err
			} // all are settled, but after catching up
		}
	})
}

// publish tries once. What is stored has its seq then.
func (l *Log) publish(ctx context.Context, sent []*sending, before uint64) error {
	if len(sent) == 1 {
		return l.publishOne(ctx, sent[0], before)
	}
	if !l.atomic {
		for _, s := range sent {
			if err := l.publishOne(ctx, s, before); err != nil {
				return err
			}
		}
		return nil
	}
	return l.publishBatch(ctx, sent)
}

// publishHalves finds those of a batch that were there before, which isn't said of a batch.
func (l *Log) publishHalves(ctx context.Context, sent []*sending, before uint64) error {
	half := len(sent) / 2
	for _, part := range [][]*sending{sent[:half], sent[half:]} {
		err := l.publish(ctx, part, before)
		if natsconn.HasCode(err, natsconn.RepeatedInABatch) {
			err = l.publishHalves(ctx, part, before)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) publishOne(ctx context.Context, s *sending, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, natsconn.AttemptTimeout)
	defer cancel()
	had := l.had()
	ack, err := l.js.PublishMsg(ctx, l.message(s), jetstream.WithRetryAttempts(0))
	if err != nil {
		s.tried = s.tried || !refused(err)
		return err
	}
	if !ack.Duplicate {
		if err := l.rising(ack.Sequence, had); err != nil {
			return err
		}
	} else if _, err := l.askLeader(ctx); err != nil {
		return err
	} else if gone := l.known.bumped.Load(); ack.Sequence <= gone && s.after < gone {
		s.after, s.tried = gone, false
		return l.publishOne(ctx, s, before)
	}
	s.seq = ack.Sequence
	s.repeated = ack.Duplicate && !strings.HasPrefix(s.id, "/") && (!s.tried || s.seq <= before)
	return nil
}

func (l *Log) publishBatch(ctx context.Context, sent []*sending) error {
	ctx, cancel := context.WithTimeout(ctx, natsconn.AttemptTimeout+time.Duration(len(sent))*natsconn.StoreTimeout)
	defer cancel()
	messages := make([]*nats.Msg, len(sent))
	for i, s := range sent {
		messages[i] = l.message(s)
	}
	had := l.had()
	ack, err := jetstreamext.PublishMsgBatch(ctx, l.js, messages)
	if err != nil {
		for _, s := range sent {
			s.tried = s.tried || !refused(err)
		}
		return err
	}
	first := ack.Sequence - uint64(len(sent)-1) // they follow on each other
	if err := l.rising(first, had); err != nil {
		return err
	}
	for i, s := range sent {
		s.seq = first + uint64(i)
	}
	return nil
}

// refused is whether the server has said that it stored nothing.
func refused(err error) bool {
	return errors.As(err, new(*jetstream.APIError)) || errors.Is(err, nats.ErrReconnectBufExceeded)
}

func (l *Log) message(s *sending) *nats.Msg {
	m := nats.NewMsg(l.subject())
	m.Data = s.data
	if s.id != "" {
		m.Header.Set(jetstream.MsgIDHeader, s.messageID())
	}
	m.Header.Set(jetstream.ExpectedStreamHeader, l.opts.Stream)
	return m
}

// awaitFollower returns when this node has delivered what was stored, which it otherwise would in an order that
// the publisher can't see.
func (l *Log) awaitFollower(s *sending) {
	ctx, cancel := context.WithTimeout(l.ctx, l.opts.PublishTimeout)
	defer cancel()
	if s.repeated || s.seq == 0 {
		_ = l.reached.Await(ctx, s.seq)
		return
	}
	select {
	case <-s.had:
		return
	case <-time.After(feedPatience):
		l.askNow()
	}
	select {
	case <-s.had:
	case <-ctx.Done():
	}
}
