package natsrows

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

// row is one that is watched.
type row struct {
	entity, rowID, subject string
	bucket                 int

	taken
	more chan struct{} // closed when something is taken; nil when nobody waits for that

	doubts  int       // how often the leader is to be asked again
	checked time.Time // when it was asked, and where the stream was
	at      uint64
}

// taken is what has come of a row.
//
// Invariant: of its messages all up to last were taken, in order. Both the feed and what is read say which message is
// in front of one, so that none is taken behind a hole.
type taken struct {
	last     uint64
	snapshot uint64 // sequence of the newest snapshot, 0 for none
	first    uint64 // that of its first part
	owner    string // whose it is by that
	parts    parts
	mark     mark
	read     bool // from the leader, so that last is where it ends, as far as is known
}

// bucket is a subscription.
type bucket struct {
	subscription *nats.Subscription
	rows         int
	inForce      bool // at the server
}

const readMessages = 256 // of a row in one go

// Follow begins to take what is stored.
func (s *Rows) Follow(deliver func(*hub.StoredRow), wanted func(entity, rowID string) bool, forget func(entity, rowID string)) {
	s.deliver, s.wanted, s.forget = deliver, wanted, forget
	s.running.Go(s.takeFeed)
	s.running.Go(s.poll)
}

// Watch subscribes to the row's bucket, and reads the row once that is in force.
func (s *Rows) Watch(ctx context.Context, entity, rowID string, have uint64) (*hub.StoredRow, error) {
	r, err := s.watch(ctx, entity, rowID)
	if err != nil {
		return nil, fmt.Errorf("watching a row: %w", err)
	}
	var newest *hub.StoredRow
	if !s.certain(r) {
		if newest, err = s.fill(ctx, r); err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
	}
	s.mu.Lock()
	snapshot := r.snapshot
	if snapshot != 0 {
		snapshot += s.shift
	}
	s.mu.Unlock()
	switch {
	case snapshot <= have:
		return nil, nil
	case newest != nil && newest.Seq == snapshot:
		return newest, nil
	}
	return s.readSnapshot(ctx, r)
}

func (s *Rows) watch(ctx context.Context, entity, rowID string) (*row, error) {
	subject, number := s.address(entity, rowID)
	s.mu.Lock()
	r, b := s.rows[subject], s.buckets[number]
	if b == nil {
		subscription, err := s.conn.ChanSubscribe(s.opts.Name+".row."+strconv.Itoa(number), s.feed)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		b = &bucket{subscription: subscription}
		s.buckets[number] = b
	}
	if r == nil {
		// The subscription comes to the leader by another way than what it is asked: so it is asked once more.
		r = &row{entity: entity, rowID: rowID, subject: subject, bucket: number, doubts: 1}
		s.rows[subject] = r
		b.rows++
	}
	inForce := b.inForce
	s.mu.Unlock()
	if !inForce {
		if err := s.conn.FlushWithContext(ctx); err != nil {
			return nil, err
		}
		s.mu.Lock()
		b.inForce = true
		s.mu.Unlock()
	}
	return r, nil
}

// certain is whether all of the row that is stored has come, or is about to.
func (s *Rows) certain(r *row) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.read && r.doubts == 0 && s.suspicions.Load() == s.settled && s.conn.IsConnected()
}

func (s *Rows) takeFeed() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case m := <-s.feed:
			s.takeRepublished(m)
		}
	}
}

func (s *Rows) takeRepublished(m *nats.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, seq := s.rows[m.Header.Get(jetstream.SubjectHeader)], natsconn.Number(m.Header, jetstream.SequenceHeader)
	before := natsconn.Number(m.Header, natsconn.LastSequence)
	switch {
	case r == nil || seq <= r.last:
	case before > r.last && !r.read: // it is being read
	case before > r.last || before == 0 && (r.snapshot != 0 || !r.read):
		// A leader that doesn't find what is in front of it says that there is nothing, too.
		r.doubts = max(r.doubts, 1)
		s.wake()
	default:
		at, _ := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
		s.take(r, &natsconn.Message{Seq: seq, Header: m.Header, Data: m.Data, Time: at})
	}
}

// take delivers the message behind last. It returns the row when that is a snapshot. The caller holds mu.
func (s *Rows) take(r *row, m *natsconn.Message) *hub.StoredRow {
	r.last, s.newest = m.Seq, max(s.newest, m.Seq)
	if id := m.Header.Get(jetstream.MsgIDHeader); id != "" {
		r.mark = mark{r.subject, m.Seq, id, time.Time{}}
		if m.Header.Get(jetstream.MsgTTLHeader) != "" {
			r.mark.expires = m.Time.Add(updatesKept)
		}
	}
	if r.more != nil {
		defer close(r.more)
		r.more = nil
	}
	stored, err := r.parts.add(m)
	if err == nil && stored != nil && (stored.Entity != r.entity || stored.RowID != r.rowID) {
		err = fmt.Errorf("row %d of the stream is another row's than its subject says", m.Seq)
	}
	if err != nil {
		s.opts.Logger.Warn("a row is passed over", "error", err)
		return nil
	}
	if stored == nil {
		return nil
	}
	stored.Seq, stored.Owner = m.Seq+s.shift, r.owner
	if stored.Kind == hub.Snapshot {
		r.snapshot, r.first, r.owner = m.Seq, r.mark.seq, stored.Tenant
	}
	s.deliver(stored)
	if stored.Kind != hub.Snapshot {
		return nil
	}
	return stored
}

// fill takes what the stream has of a row behind last. It returns the newest snapshot of that.
func (s *Rows) fill(ctx context.Context, r *row) (newest *hub.StoredRow, err error) {
	for {
		s.mu.Lock()
		last, shift := r.last, s.shift
		s.mu.Unlock()
		batch, err := s.next(ctx, r.subject, last+1)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		if s.shift != shift { // that was read of the stream as it was
			s.mu.Unlock()
			newest = nil
			continue
		}
		for i := range batch {
			if batch[i].Seq > r.last {
				if snapshot := s.take(r, &batch[i]); snapshot != nil {
					newest = snapshot
				}
			}
		}
		if len(batch) == 0 {
			r.read = true
			s.mu.Unlock()
			return newest, nil
		}
		s.mu.Unlock()
	}
}

// next are messages of a row from seq on that follow on each other: none when the leader has none. Others than the first
// come from whichever server has the stream.
func (s *Rows) next(ctx context.Context, subject string, seq uint64) ([]natsconn.Message, error) {
	first, err := natsconn.AskLeader(ctx, s.conn, s.name(), subject, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if whole, err := new(parts).add(&first); err == nil && whole != nil && whole.Kind == hub.Snapshot {
		return []natsconn.Message{first}, nil // as a rule there is no more
	}
	more := s.batch(ctx, jetstreamext.GetBatchSeq(first.Seq+1), jetstreamext.GetBatchSubject(subject))
	return append([]natsconn.Message{first}, more...), nil
}

// batch are messages that follow on each other, as whichever server has the stream gives them: as many as come, for
// others can be asked for.
func (s *Rows) batch(ctx context.Context, which ...jetstreamext.GetBatchOpt) (batch []natsconn.Message) {
	ctx, cancel := context.WithTimeout(ctx, natsconn.RequestTimeout)
	defer cancel()
	messages, err := jetstreamext.GetBatch(ctx, s.js, s.name(), readMessages, which...)
	if err != nil {
		return nil
	}
	before := uint64(0)
	for m, err := range messages {
		// A connection that was lost and made again meanwhile gets later ones.
		if err != nil || natsconn.Number(m.Header, natsconn.LastSequence) != before {
			break
		}
		before = m.Sequence
		batch = append(batch, natsconn.Message{Seq: m.Sequence, Header: m.Header, Data: m.Data, Time: m.Time})
	}
	return batch
}

// readSnapshot reads a row's snapshot for somebody who doesn't have it from memory. What it is in front of is delivered.
func (s *Rows) readSnapshot(ctx context.Context, r *row) (*hub.StoredRow, error) {
	for {
		s.mu.Lock()
		least := r.snapshot
		s.mu.Unlock()
		found, whole, err := s.findSnapshot(ctx, r.subject)
		if err != nil {
			return nil, fmt.Errorf("reading a row's snapshot: %w", err)
		}
		s.mu.Lock()
		last, known := r.last, r.snapshot != 0
		if found != nil && found.Seq <= last && found.Seq >= least { // a former leader has older ones
			found.Seq += s.shift
			s.mu.Unlock()
			return found, nil
		}
		s.mu.Unlock()
		if found == nil && whole && !known { // it had to make room, of which poll hears
			return nil, nil
		}
		if _, err := s.fill(ctx, r); err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(feedPatience):
		}
	}
}

// findSnapshot reads from a row's first message on. It isn't whole when a snapshot is just being stored.
func (s *Rows) findSnapshot(ctx context.Context, subject string) (found *hub.StoredRow, whole bool, err error) {
	var p parts
	for seq := uint64(1); ; {
		batch, err := s.next(ctx, subject, seq)
		if err != nil || len(batch) == 0 {
			return nil, p.had == 0, err
		}
		for i := range batch {
			if r, err := p.add(&batch[i]); err == nil && r != nil && r.Kind == hub.Snapshot {
				return r, true, nil
			}
			seq = batch[i].Seq + 1
		}
	}
}

// await returns when the follower has had what was stored, if the row is watched. A large one comes in parts, each of
// which has its time.
func (s *Rows) await(subject string, seq uint64) {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.PublishTimeout)
	defer cancel()
	for {
		s.mu.Lock()
		r := s.rows[subject]
		if r == nil || seq != 0 && r.last >= seq {
			s.mu.Unlock()
			return
		}
		if r.more == nil {
			r.more = make(chan struct{})
		}
		more := r.more
		s.mu.Unlock()
		select {
		case <-more:
			if seq != 0 {
				continue
			}
		case <-time.After(feedPatience):
		}
		_, _ = s.fill(ctx, r) // or poll does, in its own time
		return
	}
}

func (s *Rows) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// suspect has the stream looked into, and all rows read again.
func (s *Rows) suspect() {
	s.suspicions.Add(1)
	s.wake()
}

// dropped has the rows of a bucket read again whose feed was full.
func (s *Rows) dropped(subscription *nats.Subscription) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if b := s.buckets[r.bucket]; b.subscription == subscription {
			r.doubts = max(r.doubts, 1)
		}
	}
	s.wake()
	return true
}
