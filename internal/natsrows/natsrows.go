// Package natsrows stores the published rows of several nodes in a JetStream stream, and brings each node those that
// its clients are subscribed to.
//
// A row is a subject: its snapshot, which takes the place of all before it (a rollup), and the updates behind that,
// which stay for a few minutes. What is too large for one message is several, stored together. The stream's leader
// republishes each message to the row's bucket, a core subject that a node is subscribed to while a client of its
// wants a row of that bucket, together with the sequence before it of the same row. So a node knows when it has missed
// something, and reads that from the leader before it goes on.
package natsrows

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

// Options say where rows are and how much is kept.
type Options struct {
	Servers string        // NATS URLs, separated by commas; none with an in-process server in NATS
	NATS    []nats.Option // credentials, TLS and the like

	Name     string // of the change log's stream; rows' is Name-rows, and their subjects begin with Name
	Replicas int    // 1 or 3
	MaxBytes int    // of all rows; those that were written longest ago go first

	// PublishTimeout is how long Put waits while the stream has no leader, as of a change log.
	PublishTimeout time.Duration

	Logger *slog.Logger
}

const (
	buckets     = 4096
	partBytes   = 128 << 10       // of a row in one message
	mostParts   = 1000            // of a batch, which is what servers take
	partsAhead  = 8               // that a slow link may have to take ahead of the connection's pings
	updatesKept = 5 * time.Minute // for nodes that have missed them
	idsKept     = 2 * time.Minute // for attempts whose answer was lost

	feedMessages = 512                   // republished messages that wait to be taken, beyond which rows are read again
	feedPatience = 50 * time.Millisecond // for what was stored just now, before the leader is asked for it
)

// Rows is a hub.RowStore on NATS. It is safe from any goroutine.
type Rows struct {
	opts    Options
	conn    *nats.Conn
	js      jetstream.JetStream
	stream  jetstream.Stream
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	feed       chan *nats.Msg
	poke       chan struct{} // has rows that are in doubt read now
	suspicions atomic.Uint64 // how often messages of any row may have been missed, or the stream be another
	unwell     atomic.Pointer[error]

	mu      sync.Mutex // held while rows are taken and delivered
	deliver func(*hub.StoredRow)
	wanted  func(entity, rowID string) bool
	forget  func(entity, rowID string)
	newest  uint64 // of what was taken
	settled uint64 // of suspicions
	// Invariant: what the hub gets of a row rises. A stream that went back gives sequences out again, so that the hub's
	// are as many above them.
	shift   uint64
	rows    map[string]*row // those that are watched, by subject
	buckets map[int]*bucket
}

var _ hub.RowStore = (*Rows)(nil)

// Open connects to NATS and makes the stream if there is none. It waits for a NATS that isn't there yet until ctx ends.
func Open(ctx context.Context, o Options) (*Rows, error) {
	s, err := dial(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := natsconn.Patiently(ctx, o.Logger, "opening the stream "+s.name(), s.openStream); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// dial connects, and looks at no stream yet.
func dial(ctx context.Context, o Options) (*Rows, error) {
	if err := natsconn.CheckName(o.Name); err != nil {
		return nil, err
	}
	s := &Rows{
		opts: o, feed: make(chan *nats.Msg, feedMessages), poke: make(chan struct{}, 1),
		rows: make(map[string]*row), buckets: make(map[int]*bucket),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := natsconn.Patiently(ctx, o.Logger, "connecting to NATS", s.connect); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Rows) connect(context.Context) (err error) {
	s.conn, s.js, err = natsconn.Connect(natsconn.Options{
		Servers: s.opts.Servers, NATS: s.opts.NATS, Logger: s.opts.Logger, Reconnected: s.suspect, Slow: s.dropped,
	})
	return err
}

func (s *Rows) name() string     { return natsconn.RowsOf(s.opts.Name) }
func (s *Rows) subjects() string { return s.opts.Name + ".rows.*.*" }

func (s *Rows) config() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: s.name(), Description: "Busbar's rows", Subjects: []string{s.subjects()},
		Storage: jetstream.FileStorage, Replicas: s.opts.Replicas, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxMsgs: -1, MaxBytes: int64(s.opts.MaxBytes), MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1, Duplicates: idsKept,
		AllowDirect: true, AllowAtomicPublish: true, AllowRollup: true, AllowMsgTTL: true,
		RePublish: &jetstream.RePublish{Source: s.subjects(), Destination: s.opts.Name + ".row.{{wildcard(1)}}"},
		Metadata:  map[string]string{natsconn.Mark: marked},
	}
}

func (s *Rows) openStream(ctx context.Context) (err error) {
	s.stream, err = natsconn.OpenStream(ctx, s.js, s.config(), s.opts.Logger, func(has *jetstream.StreamConfig) error {
		switch {
		case has == nil || has.Metadata[natsconn.Mark] == marked:
			return nil
		case has.Metadata[natsconn.Mark] == moved:
			return errMoved
		}
		return foreign(has)
	})
	return err
}

func foreign(has *jetstream.StreamConfig) error { return natsconn.Foreign(has, "store of rows") }

// Close ends what runs, and the connection.
func (s *Rows) Close() error {
	s.cancel()
	if s.conn != nil {
		s.conn.Close()
	}
	s.running.Wait()
	return nil
}

// Healthy is nil while rows can be stored and read, as far as is known.
func (s *Rows) Healthy() error {
	if !s.conn.IsConnected() {
		return natsconn.ErrAway
	}
	if err := s.unwell.Load(); err != nil {
		return *err
	}
	return nil
}

// Load has nothing to do: rows are read when somebody wants them.
func (s *Rows) Load(func(*hub.StoredRow) error) error { return nil }

// Forget keeps the row for the other nodes.
func (s *Rows) Forget(string, string) {}

// address is a row's subject and bucket. Names may be anything, and of any length; whose row it is, its messages
// say too.
func (s *Rows) address(entity, rowID string) (subject string, bucket int) {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(entity))))
	h.Write([]byte(entity))
	h.Write([]byte(rowID))
	sum := h.Sum(nil)
	bucket = int(binary.BigEndian.Uint16(sum)) % buckets
	return fmt.Sprintf("%s.rows.%d.%s", s.opts.Name, bucket, base64.RawURLEncoding.EncodeToString(sum)), bucket
}

// Put stores a snapshot or an update, and returns when the follower has had it, if it wants it.
func (s *Rows) Put(r *hub.StoredRow) error {
	subject, _ := s.address(r.Entity, r.RowID)
	messages := s.messages(subject, encode(r), r.Kind)
	seq, err := s.store(messages)
	if err == nil {
		s.await(subject, seq)
	}
	return err
}

// store stores messages together. The sequence is that of the last one, or 0 when an attempt has stored them that had
// no answer.
func (s *Rows) store(messages []*nats.Msg) (seq uint64, err error) {
	if len(messages) > mostParts {
		return 0, fmt.Errorf("%w: NATS takes at most %d bytes of a row, in %d messages", hub.ErrTooLarge, mostParts*len(messages[0].Data), mostParts)
	}
	longer := time.Duration(len(messages)) * natsconn.AttemptTimeout / 10 // a slow disk's
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.PublishTimeout+longer)
	defer cancel()
	s.mu.Lock()
	newest := s.newest
	s.mu.Unlock()
	err = natsconn.Store(ctx, func() (err error) {
		attempt, cancel := context.WithTimeout(ctx, natsconn.AttemptTimeout+longer)
		defer cancel()
		seq, err = s.publish(attempt, messages)
		return err
	})
	if err == nil && seq != 0 && seq <= newest { // the stream had that before this was sent
		s.suspect()
	}
	return seq, err
}

// publish tries once.
func (s *Rows) publish(ctx context.Context, messages []*nats.Msg) (seq uint64, err error) {
	if len(messages) == 1 {
		ack, err := s.js.PublishMsg(ctx, messages[0], jetstream.WithRetryAttempts(0))
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, s.js, messages,
		jetstreamext.BatchFlowControl{AckFirst: true, AckEvery: partsAhead, AckTimeout: natsconn.RequestTimeout})
	if natsconn.HasCode(err, natsconn.RepeatedInABatch) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// partHeader has a message's kind, and which part of how many it is.
const partHeader = "Busbar-Row"

func (s *Rows) messages(subject string, whole []byte, kind hub.RowKind) (messages []*nats.Msg) {
	const headers = 4096
	size := max(1, min(partBytes, int(s.conn.MaxPayload())-headers))
	of := max(1, (len(whole)+size-1)/size)
	for i := range of {
		m := nats.NewMsg(subject)
		m.Data = whole[i*size : min((i+1)*size, len(whole))]
		m.Header.Set(partHeader, fmt.Sprintf("%d %d %d", kind, i+1, of))
		if i == 0 {
			m.Header.Set(jetstream.MsgIDHeader, nuid.Next())
		}
		switch {
		case kind == hub.Incremental:
			m.Header.Set(jetstream.MsgTTLHeader, updatesKept.String())
		case i == 0:
			m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		}
		messages = append(messages, m)
	}
	return messages
}

// parts are those of a message that isn't whole.
type parts struct {
	had   int
	bytes []byte
}

// add returns the row when it is whole: nil when it isn't, or the stream has let go of its beginning.
func (p *parts) add(m *natsconn.Message) (*hub.StoredRow, error) {
	var kind hub.RowKind
	var part, of int
	if _, err := fmt.Sscan(m.Header.Get(partHeader), &kind, &part, &of); err != nil || part < 1 || part > of || of > mostParts {
		return nil, fmt.Errorf("a message of the stream of rows, %d, is none: its %s is %q", m.Seq, partHeader, m.Header.Get(partHeader))
	}
	if part == 1 {
		*p = parts{}
	}
	if part != p.had+1 {
		*p = parts{}
		return nil, nil
	}
	p.had = part
	if of > 1 {
		p.bytes = append(p.bytes, m.Data...)
	} else {
		p.bytes = m.Data
	}
	if part < of {
		return nil, nil
	}
	whole := p.bytes
	*p = parts{}
	r, err := decode(whole)
	if err != nil {
		return nil, fmt.Errorf("row %d of the stream: %w", m.Seq, err)
	}
	r.Kind, r.Seq = kind, m.Seq
	return r, nil
}

func encode(r *hub.StoredRow) []byte {
	b := make([]byte, 0, 3*binary.MaxVarintLen32+len(r.Tenant)+len(r.Entity)+len(r.RowID)+len(r.Payload))
	for _, name := range []string{r.Tenant, r.Entity, r.RowID} {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	}
	return append(b, r.Payload...)
}

var errShort = errors.New("it ends early")

func decode(b []byte) (*hub.StoredRow, error) {
	r := new(hub.StoredRow)
	for _, name := range []*string{&r.Tenant, &r.Entity, &r.RowID} {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, errShort
		}
		*name, b = string(b[n:n+int(size)]), b[n+int(size):]
	}
	r.Payload = b
	return r, nil
}
