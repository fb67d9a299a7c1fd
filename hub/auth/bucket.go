package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// BucketOptions say where the sessions of several nodes are.
type BucketOptions struct {
	Conn     *nats.Conn // stays the caller's
	Name     string     // of the nodes, which the bucket's and its subjects begin with
	Replicas int        // 1 or 3
	MaxBytes int64      // of all sessions, about (default 1 GiB, some three million); then no more are made

	// PublishTimeout is how long Create waits while the bucket has no leader (default 10 s), as a change log's Append.
	PublishTimeout time.Duration
}

// ErrFull is wrapped by Create's errors where there is no room for another session.
var ErrFull = errors.New("there is no room for another session")

// OpenBucket opens the sessions that several nodes have together, in a key-value bucket of JetStream, and
// makes it when there is none. What ends a session at one node ends it at all that are connected, and at
// others when they are again. It tries for as long as NATS can't make the bucket, until ctx ends.
func OpenBucket(ctx context.Context, b BucketOptions, opts SessionOptions) (*Sessions, error) {
	setDefault(&b.MaxBytes, 1<<30)
	setDefault(&b.PublishTimeout, 10*time.Second)
	return openSessions(opts, func(base context.Context, o *SessionOptions) (store, error) {
		s := &bucket{options: b, opts: o, base: base}
		return s, s.open(ctx)
	})
}

// bucket is a store in a key-value bucket. Its keys are made from tokens, so that whoever reads it can't sign in.
//
// Invariant: it is read from its stream's leader alone. What another replica has not heard of yet, a session that
// was just made, or revoked, would be told wrongly.
type bucket struct {
	options BucketOptions
	opts    *SessionOptions
	base    context.Context // ends when the store is closed
	stream  jetstream.Stream
	kv      jetstream.KeyValue
	feed    *nats.Subscription
	changes chan *nats.Msg // what the stream's leader says it has stored
	// bytes are the stream's when its leader was asked last, and what was added here since. The stream itself has no
	// bound, because it would refuse to store that a session was revoked.
	bytes atomic.Int64

	// What follows is the watcher's.
	at      uint64    // of the stream all up to here is known of
	polled  uint64    // where it ended, or began, at the last look
	current time.Time // when it was
	created time.Time // the stream
	behind  int       // how often in a row the stream has ended before that
	absent  uint64    // what was looked for behind at up to here, and wasn't there
	failing bool
}

const (
	bucketTimeout = 2 * time.Second // of one question to NATS
	// bucketDuplicates is NATS' default; nothing here needs it.
	bucketDuplicates = 2 * time.Minute
	// markerTTL is for how long it can be told that a session was removed. A node that was away for longer
	// compares all sessions that it knows.
	markerTTL = 24 * time.Hour
	// endedTTL is how long a session is listed that has ended, also for clocks that differ.
	endedTTL = time.Hour
	// restarted is after how many looks a stream that ends before what was seen has lost that. A leader that is new
	// has it in a moment.
	restarted = 10

	sequenceHeader = "Nats-Sequence"
	subjectHeader  = "Nats-Subject"
	changesQueue   = 8192
)

func (b *bucket) name() string    { return b.options.Name + "-sessions" }
func (b *bucket) subject() string { return "$KV." + b.name() + "." }

func (b *bucket) open(ctx context.Context) error {
	js, err := jetstream.New(b.options.Conn, jetstream.WithDefaultTimeout(bucketTimeout))
	if err != nil {
		return b.explain("open", err)
	}
	err = natsconn.Patiently(ctx, b.opts.Log, "opening the sessions", func(ctx context.Context) error { return b.openStream(ctx, js) })
	if err != nil {
		return b.explain("open", err)
	}
	if b.kv, err = js.KeyValue(ctx, b.name()); err != nil {
		return b.explain("open", err)
	}
	b.changes = make(chan *nats.Msg, changesQueue)
	if b.feed, err = b.options.Conn.ChanSubscribe(b.options.Name+".sessions.>", b.changes); err != nil {
		return b.explain("open", err)
	}
	err = b.options.Conn.FlushTimeout(bucketTimeout)
	if err == nil { // what comes from here on is in the subscription
		var info *jetstream.StreamInfo
		if info, err = b.info(ctx); err == nil {
			b.at, b.created, b.current = info.State.LastSeq, info.Created, now()
			b.polled = max(info.State.LastSeq, info.State.FirstSeq)
			b.bytes.Store(int64(info.State.Bytes))
		}
	}
	if err != nil {
		_ = b.close()
		return b.explain("open", err)
	}
	return nil
}

func (b *bucket) openStream(ctx context.Context, js jetstream.JetStream) (err error) {
	const marked = "sessions"
	b.stream, err = natsconn.OpenStream(ctx, js, jetstream.StreamConfig{
		Name: "KV_" + b.name(), Description: "Busbar's sessions", Subjects: []string{b.subject() + ">"},
		Storage: jetstream.FileStorage, Replicas: b.options.Replicas, Discard: jetstream.DiscardNew, Duplicates: bucketDuplicates,
		MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxConsumers: -1,
		AllowRollup: true, DenyDelete: true, AllowMsgTTL: true,
		RePublish: &jetstream.RePublish{Source: b.subject() + ">", Destination: b.options.Name + ".sessions.>", HeadersOnly: true},
		Metadata:  map[string]string{natsconn.Mark: marked},
	}, b.opts.Log, func(has *jetstream.StreamConfig) error {
		if has != nil && has.Metadata[natsconn.Mark] != marked {
			return natsconn.Foreign(has, "bucket of sessions")
		}
		return nil
	})
	return err
}

// EndAll ends all sessions that several nodes have together. Nodes may run.
func EndAll(ctx context.Context, conn *nats.Conn, name string) error {
	b := &bucket{options: BucketOptions{Name: name}, base: ctx}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(bucketTimeout))
	if err == nil {
		b.stream, err = js.Stream(ctx, "KV_"+b.name())
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err == nil {
		err = b.stream.Purge(ctx)
	}
	if err != nil {
		return b.explain("end", err)
	}
	return nil
}

func (b *bucket) explain(doing string, err error) error {
	if b.base.Err() != nil || errors.Is(err, nats.ErrConnectionClosed) {
		err = ErrClosed
	}
	return fmt.Errorf("%s sessions in NATS (bucket %s): %w", doing, b.name(), err)
}

func (b *bucket) close() error {
	_ = b.feed.Unsubscribe() // fails when it was, or there is no connection any more
	return nil
}

func (b *bucket) key(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// stored is a session as it is in the bucket.
type stored struct {
	UserID  string `json:"user_id"`
	Tenant  string `json:"tenant_id,omitempty"`
	Device  string `json:"device,omitempty"`
	Created int64  `json:"created_at"`
	Expires int64  `json:"expires_at"` // 0 = never
}

func (b *bucket) find(ctx context.Context, key string) (*hub.Identity, error) {
	entry, err := b.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, b.explain("read", err)
	}
	one, err := listedOf(entry)
	if err != nil {
		return nil, b.explain("read", err)
	}
	return &hub.Identity{UserID: one.UserID, Tenant: one.Tenant, Expires: one.Expires}, nil
}

func (b *bucket) findAll(ctx context.Context, keys []string) (map[string]*hub.Identity, error) {
	found := make(map[string]*hub.Identity, len(keys))
	for _, key := range keys {
		id, err := b.find(ctx, key)
		if err != nil {
			return nil, err
		}
		if id != nil {
			found[key] = id
		}
	}
	return found, nil
}

func listedOf(entry jetstream.KeyValueEntry) (listed, error) {
	var s stored
	if err := strictjson.Unmarshal(entry.Value(), &s); err != nil {
		return listed{}, err
	}
	one := listed{key: entry.Key(), Session: Session{
		UserID: s.UserID, Tenant: s.Tenant, Device: s.Device, Created: time.Unix(s.Created, 0), Expires: expiry(s.Expires),
	}}
	one.ID = one.key[:min(idLen, len(one.key))]
	return one, nil
}

func (b *bucket) add(ctx context.Context, key string, s *Session) error {
	if b.base.Err() != nil {
		return ErrClosed
	}
	if b.bytes.Load() >= b.options.MaxBytes {
		return b.explain("add to", ErrFull)
	}
	value, err := json.Marshal(stored{s.UserID, s.Tenant, s.Device, s.Created.Unix(), unixOrZero(s.Expires)})
	if err != nil {
		return b.explain("add to", err)
	}
	var options []jetstream.KVCreateOpt
	if left := time.Until(s.Expires); !s.Expires.IsZero() && left < farFuture {
		options = append(options, jetstream.KeyTTL(max(left, 0)+endedTTL))
	}
	ctx, cancel := context.WithTimeout(ctx, b.options.PublishTimeout)
	defer cancel()
	defer context.AfterFunc(b.base, cancel)()
	failed := natsconn.Store(ctx, func() error {
		attempt, cancel := context.WithTimeout(ctx, natsconn.AttemptTimeout)
		defer cancel()
		if _, err = b.kv.Create(attempt, key, value, options...); errors.Is(err, jetstream.ErrKeyExists) {
			err = nil // an attempt has stored it that had no answer: nobody else has this token
		}
		return err
	})
	if errors.Is(failed, hub.ErrLogFull) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return b.explain("add to", err)
	}
	b.bytes.Add(int64(len(b.subject()) + len(key) + len(value)))
	return nil
}

func (b *bucket) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*bucketTimeout)
	defer cancel()
	entry, err := b.kv.Get(ctx, key)
	if err == nil {
		err = b.kv.Purge(ctx, key, jetstream.LastRevision(entry.Revision()), jetstream.PurgeTTL(markerTTL))
	}
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return ErrNoSession
	}
	if err != nil {
		return b.explain("remove from", err)
	}
	return nil
}

func (b *bucket) list(ctx context.Context) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		w, err := b.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
		if err != nil {
			yield(listed{}, b.explain("list", err))
			return
		}
		defer func() { _ = w.Stop() }()
		for {
			entry, err := nextOf(ctx, w)
			if err == nil && entry == nil { // these were all
				return
			}
			var one listed
			if err == nil {
				one, err = listedOf(entry)
			}
			if err != nil {
				err = b.explain("list", err)
			}
			if !yield(one, err) || err != nil {
				return
			}
		}
	}
}

func nextOf(ctx context.Context, w jetstream.KeyWatcher) (jetstream.KeyValueEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*bucketTimeout)
	defer cancel()
	select {
	case entry, ok := <-w.Updates():
		if !ok {
			return nil, nats.ErrConnectionClosed
		}
		return entry, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// watch takes what the leader says it has stored, which is how a revocation comes here at once. Beside that it
// is asked now and then: what it says to nobody, or to a node that is away, is read from the stream.
func (b *bucket) watch(ctx context.Context, s *Sessions) {
	ticker := time.NewTicker(b.opts.PollInterval)
	defer ticker.Stop()
	connected := b.options.Conn.StatusChanged(nats.CONNECTED)
	defer b.options.Conn.RemoveStatusListener(connected)
	for {
		var look func(context.Context, *Sessions) error
		select {
		case <-ctx.Done():
			return
		case m := <-b.changes:
			look = func(ctx context.Context, s *Sessions) error { return b.republished(ctx, s, m) }
		case <-connected:
			look = b.poll
		case <-ticker.C:
			look = b.poll
		}
		s.guard("while looking at the sessions in NATS", func() { b.note(ctx, look(ctx, s)) })
	}
}

// note says in the log when the bucket can't be looked at, and when it can be again.
func (b *bucket) note(ctx context.Context, err error) {
	failed := err != nil
	switch {
	case ctx.Err() != nil || failed == b.failing:
		return
	case failed:
		b.opts.Log.Warn("session lookups fail until NATS has them again", "error", b.explain("look at", err))
	default:
		b.opts.Log.Info("session lookups work again", "bucket", b.name())
	}
	b.failing = failed
}

func (b *bucket) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, bucketTimeout)
	defer cancel()
	return b.stream.Info(ctx)
}

func (b *bucket) republished(ctx context.Context, s *Sessions, m *nats.Msg) error {
	seq, err := strconv.ParseUint(m.Header.Get(sequenceHeader), 10, 64)
	switch {
	case err != nil: // nobody else is to publish there
		return nil
	case seq <= b.at: // it was read before it came, or the stream went back: tokens are never given out again
		b.take(s, m.Header.Get(subjectHeader), m.Header, b.at)
		return nil
	case seq > b.at+1:
		return b.catchUp(ctx, s)
	}
	b.take(s, m.Header.Get(subjectHeader), m.Header, seq)
	return nil
}

// take is told what is at seq of the stream, behind which all is known of.
func (b *bucket) take(s *Sessions, subject string, header nats.Header, seq uint64) {
	b.at = seq
	if header.Get("KV-Operation") != "" || header.Get(jetstream.MarkerReasonHeader) != "" {
		s.guard("while telling of revoked sessions", func() { s.end(strings.TrimPrefix(subject, b.subject())) })
	}
}

// poll asks the leader what there is, and reads what hasn't come.
func (b *bucket) poll(ctx context.Context, s *Sessions) error {
	began := now()
	info, err := b.info(ctx)
	if err != nil {
		return err
	}
	b.bytes.Store(int64(info.State.Bytes))
	last := info.State.LastSeq
	another := !info.Created.Equal(b.created)
	if last < b.at {
		b.behind++
	} else if b.behind > 0 { // it has caught up, or went back and on
		another = true
	}
	if another = another || b.behind >= restarted; another {
		b.opts.Log.Warn("the sessions in NATS are looked at again: they may be those of a backup that was restored, and some that were revoked be good again")
	}
	purged := info.State.FirstSeq > b.polled // all that there was
	if another || purged || began.Sub(b.current) > markerTTL/2 {
		if err := s.revalidate(ctx); err != nil {
			return err
		}
		b.at, b.created, b.behind = last, info.Created, 0
	}
	b.polled = max(last, info.State.FirstSeq)
	if last > b.at {
		if err := b.catchUp(ctx, s); err != nil {
			return err
		}
	}
	if last > b.at { // the last ones may be gone, or the leader is new, and has them in a moment
		if b.absent == last {
			b.at = last
		}
		b.absent = last
	}
	b.current = began
	return nil
}

// catchUp reads what the stream has behind what is known of.
func (b *bucket) catchUp(ctx context.Context, s *Sessions) error {
	for {
		attempt, cancel := context.WithTimeout(ctx, bucketTimeout)
		m, err := b.stream.GetMsg(attempt, b.at+1, jetstream.WithGetMsgSubject(b.subject()+">"))
		cancel()
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		b.take(s, m.Subject, m.Header, m.Sequence)
	}
}

// now is by the wall clock alone: the other stands still while the host sleeps.
func now() time.Time { return time.Now().Round(0) }
