package natslog

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

// What natsconn.Mark says of a stream.
const (
	marked   = "change-log"
	filled   = "being-filled" // by Import, or it was broken off
	closed   = "closed"       // by Export: nothing can be published to it
	wentBack = "went-back"    // it has lost events, see verify
	moved    = "moved"        // Export has come to its end
)

// bumped is the key of the stream's metadata for what Bump has let go of.
const bumped = natsconn.Mark + "-bumped"

func (l *Log) subject() string     { return l.opts.Stream + ".changes" }
func (l *Log) feedSubject() string { return l.opts.Stream + ".feed" }

func (l *Log) config(first uint64) jetstream.StreamConfig {
	window := opWindow
	if l.opts.MaxAge > 0 {
		window = min(window, l.opts.MaxAge)
	}
	return jetstream.StreamConfig{
		Name: l.opts.Stream, Description: "Busbar's change log", Subjects: []string{l.subject()},
		Storage: jetstream.FileStorage, Replicas: l.opts.Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxMsgs: int64(l.opts.MaxEvents), MaxBytes: int64(l.opts.MaxBytes), MaxAge: l.opts.MaxAge, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
		MaxConsumers: -1, Duplicates: window, FirstSeq: first,
		AllowDirect: true, AllowAtomicPublish: true,
		RePublish: &jetstream.RePublish{Source: l.subject(), Destination: l.feedSubject()},
		Metadata:  map[string]string{natsconn.Mark: marked},
	}
}

func (l *Log) openStream(ctx context.Context) (err error) {
	l.stream, err = natsconn.OpenStream(ctx, l.js, l.config(0), l.opts.Logger, func(has *jetstream.StreamConfig) error {
		if has == nil {
			if l.beingCopied(ctx) {
				return errBeingFilled
			}
			return nil
		}
		switch is := has.Metadata[natsconn.Mark]; {
		case is == filled:
			return errBeingFilled
		case is == wentBack:
			return errWentBack
		case is == closed || is == moved:
			return natsconn.Permanent(errMoved)
		case is != marked || has.Storage != jetstream.FileStorage:
			return foreign(has)
		}
		return nil
	})
	if err != nil {
		return err
	}
	has := l.stream.CachedInfo().Config
	l.known.began, l.atomic = has.FirstSeq, has.AllowAtomicPublish
	l.health.bumped = bumpedOf(has)
	return nil
}

// bumpedOf is what busbar log bump has let go of: all up to there.
func bumpedOf(config jetstream.StreamConfig) (last uint64) {
	last, _ = strconv.ParseUint(config.Metadata[bumped], 10, 64)
	return last
}

func foreign(has *jetstream.StreamConfig) error { return natsconn.Foreign(has, "change log") }

// askLeader learns what the stream has, from its leader, and returns what that has said. Answers may come in any
// order, and what has gone doesn't come back.
func (l *Log) askLeader(ctx context.Context) (last uint64, err error) {
	info, err := l.info(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

func (l *Log) info(ctx context.Context, options ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, natsconn.RequestTimeout)
	defer cancel()
	info, err := l.stream.Info(ctx, options...)
	if err == nil {
		err = natsconn.ByLeader(info)
	}
	if err != nil {
		return nil, err
	}
	now := info.State
	l.known.learning.Lock()
	defer l.known.learning.Unlock()
	if known := l.known.Load(); known != nil {
		now.FirstSeq, now.LastSeq = max(now.FirstSeq, known.FirstSeq), max(now.LastSeq, known.LastSeq)
	}
	l.known.Store(&now)
	l.known.bumped.Store(max(bumpedOf(info.Config), l.known.bumped.Load()))
	return info, nil
}

// goneFrom is the last of the messages from seq on that the stream has let go of; seq-1 when it has that one, or never
// had it.
func (l *Log) goneFrom(ctx context.Context, seq uint64) (last uint64, err error) {
	info, err := l.info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return 0, err
	}
	last = max(seq, info.State.FirstSeq) - 1
	for _, deleted := range info.State.Deleted { // in order
		if deleted == last+1 {
			last = deleted
		}
	}
	return last, nil
}

// readNewest fills the tail.
func (l *Log) readNewest(ctx context.Context) error {
	if _, err := l.askLeader(ctx); err != nil {
		return err
	}
	known := l.known.Load()
	from := known.FirstSeq - 1
	keep := min(preloaded, uint64(l.opts.TailBytes)/(known.Bytes/max(known.Msgs, 1)+1))
	if known.LastSeq-from > keep {
		from = known.LastSeq - keep
	}
	if l.tail != nil && l.at >= from {
		return l.fill(ctx, known.LastSeq, true) // where an attempt before was broken off
	}
	l.tail = hub.NewTail(math.MaxInt, l.opts.TailBytes, from)
	l.at, l.last = from, from
	return l.fill(ctx, known.LastSeq, true)
}

// stored is a message of the stream.
type stored struct {
	seq  uint64
	id   string // Nats-Msg-Id
	data []byte
	at   time.Time // zero for what was republished
}

// What is read of the stream in one go.
const (
	readMessages = 1000
	readBytes    = 4 << 20

	leaderMessages = 32 // of the leader, which is asked for each
)

// read are messages of the stream from seq on that follow on each other, as many as come at once. The first of
// them has a greater seq when the stream has none with that one: replicas may be behind, so the leader is asked. None
// when it has no more.
func (l *Log) read(ctx context.Context, seq uint64, limit int) ([]stored, error) {
	batch, behind := l.readReplica(ctx, seq, min(limit, readMessages))
	if len(batch) == 0 || batch[0].seq != seq {
		if !behind {
			limit = 1
		}
		led, err := l.readLeader(ctx, seq, limit)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if len(batch) == 0 || batch[0].seq != led[0].seq {
			return led, nil
		}
	}
	for i := range batch {
		if batch[i].seq != batch[0].seq+uint64(i) {
			return batch[:i], nil
		}
	}
	return batch, nil
}

// readReplica asks whichever server has the stream. Where that fails the leader is asked anyway. It is behind when it
// answers that it has nothing.
func (l *Log) readReplica(ctx context.Context, seq uint64, limit int) (batch []stored, behind bool) {
	ctx, cancel := context.WithTimeout(ctx, natsconn.RequestTimeout/2)
	defer cancel()
	messages, err := jetstreamext.GetBatch(ctx, l.js, l.opts.Stream, limit,
		jetstreamext.GetBatchSeq(seq), jetstreamext.GetBatchMaxBytes(readBytes))
	if err != nil {
		return nil, false
	}
	for m, err := range messages {
		if err != nil {
			return batch, errors.Is(err, jetstreamext.ErrNoMessages)
		}
		batch = append(batch, stored{m.Sequence, m.Header.Get(jetstream.MsgIDHeader), m.Data, m.Time})
	}
	return batch, false
}

// readLeader are messages from seq on that follow on each other, the first at least. A question brings one, and a
// replica that was away may lack many: so several are on their way.
func (l *Log) readLeader(ctx context.Context, seq uint64, limit int) (batch []stored, err error) {
	last := l.known.Load().LastSeq
	limit = min(limit, leaderMessages, int(last-min(seq, last))+1)
	messages, errs := make([]natsconn.Message, limit), make([]error, limit)
	var all sync.WaitGroup
	for i := range limit {
		all.Go(func() {
			messages[i], errs[i] = natsconn.AskLeader(ctx, l.conn, l.opts.Stream, l.subject(), seq+uint64(i))
		})
	}
	all.Wait()
	if errs[0] != nil {
		return nil, errs[0]
	}
	for i, m := range messages {
		if i > 0 && (errs[i] != nil || m.Seq != messages[0].Seq+uint64(i)) {
			break
		}
		batch = append(batch, stored{m.Seq, m.Header.Get(jetstream.MsgIDHeader), m.Data, m.Time})
	}
	return batch, nil
}
