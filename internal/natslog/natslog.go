// Package natslog is the change log of several nodes: a JetStream stream, whose sequence is the seq of the
// events. It has no consensus or replication of its own.
//
// A node publishes changes to the stream, and learns of them, its own included, by what the stream's leader
// republishes. Messages that it misses are read from the stream. Every node so has the same entries in the same
// order, encodes each once, and keeps the newest in a hub.Tail.
package natslog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/dedup"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/progress"
)

// Options say where the log is and how much it keeps.
type Options struct {
	Servers string        // NATS URLs, separated by commas; none with an in-process server in NATS
	NATS    []nats.Option // credentials, TLS and the like

	Stream   string // name of the stream, which begins its subjects too
	Replicas int    // of the stream: 1 or 3

	// What the stream keeps at most, the oldest goes first. A MaxAge of zero is no bound.
	MaxEvents int
	MaxBytes  int
	MaxAge    time.Duration

	TailBytes int // of the newest entries, in memory

	// PublishTimeout is how long Append waits while the stream has no leader. It has to be above the time
	// that an election takes, which is up to 9 s when a node has been killed.
	PublishTimeout time.Duration

	Logger *slog.Logger
}

const (
	// opWindow is for how long the stream knows all op ids; of each node's own memory see package dedup.
	opWindow = 2 * time.Minute
	// preloaded is how many of the newest events are read at the start, if their average size allows it.
	preloaded = 10_000

	pollEvery    = time.Second // how often the leader is asked what there is, and pollGrace how long what
	pollGrace    = 100 * time.Millisecond
	feedMessages = 65_536 // republished messages that wait to be taken, beyond which they are read from the stream
	feedBytes    = 32 << 20
)

// Log is a hub.ChangeLog on NATS. It is safe from any goroutine.
type Log struct {
	opts    Options
	conn    *nats.Conn
	js      jetstream.JetStream
	stream  jetstream.Stream
	feed    feed
	atomic  bool // the stream takes batches
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	poke    chan struct{} // has the leader asked now

	known   known
	health  health
	tail    *hub.Tail
	reached progress.Progress // what the follower has had

	questions struct {
		sync.Mutex
		next *question // that isn't asked yet
		last time.Time // when one was
	}

	started sync.Once
	taking  sync.Mutex        // held while entries are taken and delivered
	at      uint64            // of the stream all up to here was taken
	last    uint64            // seq of the newest entry; less than at when that isn't a change
	deliver func([]hub.Entry) // nil before Follow

	ids ids
}

// feed is what the stream's leader republishes.
type feed struct {
	*nats.Subscription
	taken progress.Progress // of its messages, by their number
}

// known is what the stream's leader has said.
type known struct {
	atomic.Pointer[jetstream.StreamState]

	learning sync.Mutex
	began    uint64        // the stream's first seq ever
	bumped   atomic.Uint64 // what busbar log bump has let go of: all up to here
}

// ids are those of messages.
type ids struct {
	sync.Mutex
	ops     *dedup.Seqs
	newest  string                // of the message that the follower had last, where it is known; under Log.taking
	pending map[string][]*sending // what Append waits for
}

var _ hub.ChangeLog = (*Log)(nil)

// Open connects to NATS, makes the stream if there is none, and reads its newest part. It waits for a NATS that
// isn't there yet until ctx ends.
func Open(ctx context.Context, o Options) (*Log, error) {
	l, err := dial(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := l.open(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// dial connects, and looks at no stream yet.
func dial(ctx context.Context, o Options) (*Log, error) {
	if err := natsconn.CheckName(o.Stream); err != nil {
		return nil, err
	}
	l := &Log{
		opts: o, poke: make(chan struct{}, 1),
		ids: ids{ops: dedup.New(dedup.Limit, dedup.Age), pending: make(map[string][]*sending)},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := natsconn.Patiently(ctx, l.opts.Logger, "connecting to NATS", l.connect); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	if err := natsconn.Patiently(ctx, l.opts.Logger, "opening the stream "+l.opts.Stream, l.openStream); err != nil {
		return err
	}
	// Before the stream's end is looked up: what comes after that waits in the subscription.
	var err error
	if l.feed.Subscription, err = l.conn.SubscribeSync(l.feedSubject()); err != nil {
		return fmt.Errorf("subscribing to what the stream republishes: %w", err)
	}
	if err := l.feed.SetPendingLimits(feedMessages, feedBytes); err != nil {
		return err
	}
	return natsconn.Patiently(ctx, l.opts.Logger, "reading the stream "+l.opts.Stream, l.readNewest)
}

func (l *Log) connect(context.Context) (err error) {
	l.conn, l.js, err = natsconn.Connect(natsconn.Options{
		Servers: l.opts.Servers, NATS: l.opts.NATS, Logger: l.opts.Logger, Reconnected: l.lookAgain,
		Slow: func(s *nats.Subscription) bool { return s.Subject == l.feedSubject() }, // what was dropped is a hole
	})
	return err
}

// Healthy is nil while the log can store and read, as far as is known.
func (l *Log) Healthy() error {
	if !l.conn.IsConnected() {
		return natsconn.ErrAway
	}
	if err := l.health.unwell.Load(); err != nil {
		return *err
	}
	return l.doubted()
}

// Conn is the log's connection, which ends with it.
func (l *Log) Conn() *nats.Conn { return l.conn }

// Close ends the follower and the connection.
func (l *Log) Close() error {
	l.cancel()
	if l.conn != nil {
		l.conn.Close()
	}
	l.running.Wait()
	return nil
}

// Kept is how many bytes of frames the log keeps, under its own bound.
func (l *Log) Kept() int64 { return l.tail.Kept() }

// Bounds are the stream's up to what the follower has had.
func (l *Log) Bounds() hub.Bounds {
	first, last := l.known.Load().FirstSeq, l.tail.Bounds().Last
	first = min(first, last+1) // else what is gone was never here
	return hub.Bounds{Oldest: first, Last: last, Before: first - 1, Trimmed: first > l.known.began}
}

// Range reads from memory where that reaches, else from the stream. A cursor that is ahead of this node may be
// another node's: the leader knows.
func (l *Log) Range(ctx context.Context, since uint64, limit int) (hub.Page, error) {
	if since > l.Bounds().Last {
		if err := l.comeTo(ctx, since); err != nil {
			return hub.Page{}, err
		}
	}
	for {
		bounds := l.Bounds()
		from, err := bounds.From(since)
		if err != nil || limit <= 0 || from == bounds.Last {
			return hub.Page{Bounds: bounds}, err
		}
		if page, ok := l.tail.Read(from, limit); ok {
			bounds.Last = page.Last
			page.Bounds = bounds
			return page, nil
		}
		if entries, ok, err := l.readStored(ctx, from, bounds.Last, limit); ok || err != nil {
			return hub.Page{Entries: entries, Bounds: bounds}, err
		} // the oldest were let go of just now
	}
}

// comeTo waits for the follower to have come to seq, if the stream has it. A server that takes itself for the leader
// may be behind the others, and hasn't found out: only what most of them agree on says that there is no seq.
func (l *Log) comeTo(ctx context.Context, seq uint64) error {
	if err := l.doubted(); err != nil {
		return err
	}
	q := l.nextQuestion(seq)
	select {
	case <-q.answered:
	case <-ctx.Done():
		return ctx.Err()
	}
	if q.err != nil {
		return fmt.Errorf("%w: asking for the newest event: %w", hub.ErrLogUnavailable, q.err)
	}
	if l.known.Load().LastSeq < seq {
		return nil
	}
	l.askNow()
	return l.reached.Await(ctx, seq)
}

// question is whether the stream has a seq. It is asked for all who came before it was, because the answer costs the
// stream's servers what a message does, and anybody can come with a seq that there isn't.
type question struct {
	seq      uint64 // the greatest
	answered chan struct{}
	err      error
}

// questionsEvery is how far questions are apart.
const questionsEvery = 50 * time.Millisecond

func (l *Log) nextQuestion(seq uint64) *question {
	l.questions.Lock()
	defer l.questions.Unlock()
	if q := l.questions.next; q != nil {
		q.seq = max(q.seq, seq)
		return q
	}
	q := &question{seq: seq, answered: make(chan struct{})}
	l.questions.next = q
	wait := time.Until(l.questions.last.Add(questionsEvery))
	time.AfterFunc(wait, func() {
		l.questions.Lock()
		l.questions.next, l.questions.last = nil, time.Now()
		l.questions.Unlock()
		_, q.err = l.askLeader(l.ctx)
		if q.err == nil && l.known.Load().LastSeq < q.seq {
			if q.err = natsconn.Agree(l.ctx, l.conn, l.opts.Stream); q.err == nil {
				_, q.err = l.askLeader(l.ctx)
			}
		}
		close(q.answered)
	})
	return q
}

// catchUp waits for the follower to have come to where the stream is now.
func (l *Log) catchUp(ctx context.Context) error {
	if _, err := l.askLeader(ctx); err != nil {
		return err
	}
	l.askNow()
	return l.reached.Await(ctx, l.known.Load().LastSeq)
}

// readStored are entries behind from, at least one if there is one up to last. It isn't ok when it has to be looked up
// anew where the stream begins.
func (l *Log) readStored(ctx context.Context, from, last uint64, limit int) (entries []hub.Entry, ok bool, err error) {
	for prev := from; from < last && len(entries) == 0; {
		if err := l.doubted(); err != nil {
			return nil, false, err
		}
		batch, err := l.read(ctx, from+1, limit)
		if err != nil {
			return nil, false, fmt.Errorf("%w: reading it: %w", hub.ErrLogUnavailable, err)
		}
		if len(batch) == 0 || batch[0].seq != from+1 {
			gone, err := l.goneFrom(ctx, from+1)
			switch {
			case err != nil:
				return nil, false, fmt.Errorf("%w: asking for the oldest event: %w", hub.ErrLogUnavailable, err)
			case l.known.Load().FirstSeq > from+1:
				return nil, false, nil
			case gone == from:
				return nil, false, fmt.Errorf("%w: the stream's leader doesn't have event %d, and never let go of it", hub.ErrLogUnavailable, from+1)
			}
			from = gone // somebody deleted them
			continue
		}
		for _, m := range batch {
			if m.seq > last {
				break // the follower hasn't had it
			}
			if e, ok := l.entry(m, prev); ok {
				entries, prev = append(entries, e), e.Seq
			}
			from = m.seq
		}
	}
	return entries, true, nil
}
