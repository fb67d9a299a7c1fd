package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/busbar-ws/busbar/hub"
)

// mark tells a stream that Busbar made, and what it is.
const (
	mark   = "busbar"
	marked = "change-log"
	filled = "being-filled" // by Import, or it was broken off
	closed = "closed"       // by Export: nothing can be published to it
	moved  = "moved"        // Export has come to its end
)

// JetStream's error codes that nats.go has no names for.
const (
	errNameInUse        jetstream.ErrorCode = 10058 // with another configuration
	errNoReplicas       jetstream.ErrorCode = 10074 // more than one without a cluster
	errAccountFull      jetstream.ErrorCode = 10002
	errNoResources      jetstream.ErrorCode = 10023
	errMemoryFull       jetstream.ErrorCode = 10028
	errStorageFull      jetstream.ErrorCode = 10047
	errMessageTooLarge  jetstream.ErrorCode = 10054
	errStoreFailed      jetstream.ErrorCode = 10077
	errRepeatedInABatch jetstream.ErrorCode = 10201
)

// hasCode is whether JetStream answered with one of the codes.
func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if api.ErrorCode == code {
			return true
		}
	}
	return false
}

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
		Metadata:  map[string]string{mark: marked},
	}
}

// openStream makes the stream, or has one that is there keep what the options say.
func (l *Log) openStream(ctx context.Context) error {
	stream, err := l.js.Stream(ctx, l.opts.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if l.beingCopied(ctx) {
			return errBeingFilled
		}
		stream, err = l.js.CreateStream(ctx, l.config(hub.LogStart(time.Now())+1))
		if hasCode(err, errNameInUse) { // another node was first
			stream, err = l.js.Stream(ctx, l.opts.Stream)
		}
	}
	if err != nil {
		return forGood(err)
	}
	has := stream.CachedInfo().Config
	switch is := has.Metadata[mark]; {
	case is == filled:
		return errBeingFilled
	case is == closed || is == moved:
		return permanent{errMoved}
	case is != marked || has.Storage != jetstream.FileStorage:
		return foreign(&has)
	}
	if wanted := l.config(has.FirstSeq); !sameLimits(has, wanted) {
		l.opts.Logger.Warn("the stream's limits or replicas are changed to what this node was started with",
			"stream", has.Name, "replicas", wanted.Replicas, "events", wanted.MaxMsgs, "bytes", wanted.MaxBytes, "age", wanted.MaxAge)
		if stream, err = l.js.UpdateStream(ctx, wanted); err != nil {
			return forGood(err)
		}
	}
	l.stream, l.known.began, l.atomic = stream, has.FirstSeq, stream.CachedInfo().Config.AllowAtomicPublish
	return nil
}

func foreign(has *jetstream.StreamConfig) error {
	return permanent{fmt.Errorf("it isn't a change log of Busbar's (its subjects are %q); choose another name", has.Subjects)}
}

func sameLimits(a, b jetstream.StreamConfig) bool {
	return a.Replicas == b.Replicas && a.MaxMsgs == b.MaxMsgs && a.MaxBytes == b.MaxBytes && a.MaxAge == b.MaxAge &&
		a.Duplicates == b.Duplicates && a.AllowDirect && a.RePublish != nil && *a.RePublish == *b.RePublish
}

// forGood marks errors that only a change of the configuration mends.
func forGood(err error) error {
	if errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		hasCode(err, errNoReplicas, errAccountFull, errStorageFull) {
		return permanent{err}
	}
	return err
}

// askLeader learns what the stream has, from its leader, and returns what that has said. Answers may come in any
// order, and what has gone doesn't come back.
func (l *Log) askLeader(ctx context.Context) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := l.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	l.known.learning.Lock()
	defer l.known.learning.Unlock()
	now := info.State
	if known := l.known.Load(); known != nil {
		now.FirstSeq, now.LastSeq = max(now.FirstSeq, known.FirstSeq), max(now.LastSeq, known.LastSeq)
	}
	l.known.Store(&now)
	return info.State.LastSeq, nil
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
	l.tail = hub.NewTail(math.MaxInt, l.opts.TailBytes, from)
	l.at, l.last = from, from
	return l.fill(ctx, known.LastSeq)
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
)

// read are messages of the stream from seq on that follow on each other, as many as come at once. The first of
// them has a greater seq when the stream has none with that one: replicas may be behind, so the leader is asked. None
// when it has no more.
func (l *Log) read(ctx context.Context, seq uint64, limit int) ([]stored, error) {
	batch := l.readReplica(ctx, seq, min(limit, readMessages))
	if len(batch) == 0 || batch[0].seq != seq {
		m, err := l.readLeader(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if len(batch) == 0 || batch[0].seq != m.seq {
			return []stored{m}, nil
		}
	}
	for i := range batch {
		if batch[i].seq != batch[0].seq+uint64(i) {
			return batch[:i], nil
		}
	}
	return batch, nil
}

// readReplica asks whichever server has the stream. Where that fails the leader is asked anyway.
func (l *Log) readReplica(ctx context.Context, seq uint64, limit int) (batch []stored) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout/2)
	defer cancel()
	messages, err := jetstreamext.GetBatch(ctx, l.js, l.opts.Stream, limit,
		jetstreamext.GetBatchSeq(seq), jetstreamext.GetBatchMaxBytes(readBytes))
	if err != nil {
		return nil
	}
	for m, err := range messages {
		if err != nil {
			break
		}
		batch = append(batch, stored{m.Sequence, m.Header.Get(jetstream.MsgIDHeader), m.Data, m.Time})
	}
	return batch
}

// readLeader is the first message from seq on. jetstream.Stream.GetMsg would ask any replica.
func (l *Log) readLeader(ctx context.Context, seq uint64) (m stored, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	question := fmt.Appendf(nil, `{"seq":%d,"next_by_subj":%q}`, seq, l.subject())
	answer, err := l.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+l.opts.Stream, question)
	if err != nil {
		return m, fmt.Errorf("asking the stream's leader for message %d: %w", seq, err)
	}
	var got struct {
		Error   *jetstream.APIError
		Message struct {
			Seq  uint64
			Hdrs []byte
			Data []byte
			Time time.Time
		}
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return m, fmt.Errorf("message %d as the stream's leader has it: %w", seq, err)
	}
	if got.Error != nil {
		if got.Error.Code == http.StatusNotFound {
			return m, jetstream.ErrMsgNotFound
		}
		return m, got.Error
	}
	header, err := nats.DecodeHeadersMsg(got.Message.Hdrs)
	return stored{got.Message.Seq, header.Get(jetstream.MsgIDHeader), got.Message.Data, got.Message.Time}, err
}
