package natslog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sort"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

var errWentBack = errors.New("the stream has lost events that it had, as one that was restored from a backup has: " +
	"run busbar log bump nats, with the flags of this server")

// confirmations are how often the leader has to say, with most servers behind it, that the stream ends before what
// this node had of it.
const confirmations = 3

// errUnsure is for op ids that are remembered, until verify has looked.
var errUnsure = errors.New("the stream may have lost events meanwhile, which is being looked up")

// health is what is wrong with the stream, if anything. Safe from any goroutine, but for what is poll's.
type health struct {
	unwell atomic.Pointer[error] // why the log can't store, or can't be followed
	unsure atomic.Bool           // whether the stream still is what it was has to be looked up
	// Invariant: while doubt is there nothing is acknowledged, taken, or read from the stream. It may have gone
	// back, and then gives seqs out again that stood for other events.
	doubt atomic.Pointer[error]

	// poll's
	behind int    // how often the stream ended before what it had
	kept   uint64 // what a stream that takes nothing more was seen to have of what it had: all up to here
	bumped uint64 // known.bumped when the op ids that are remembered were last looked at
}

// had is the newest seq that this node knows of.
func (l *Log) had() uint64 { return max(l.known.Load().LastSeq, l.reached.Reached()) }

// doubted is why nothing can be said of the stream now.
func (l *Log) doubted() error {
	if err := l.health.doubt.Load(); err != nil {
		return fmt.Errorf("%w: %w", hub.ErrLogUnavailable, *err)
	}
	return nil
}

// suspect has nothing of the stream be believed until poll has looked into it.
func (l *Log) suspect(err error) error {
	if l.health.doubt.CompareAndSwap(nil, &err) { // else poll would never rest while there is doubt
		l.askNow()
	}
	return err
}

// rising suspects a stream that gives out a seq which it gave out before the message was sent.
func (l *Log) rising(seq, had uint64) error {
	if seq > had {
		return nil
	}
	return l.suspect(fmt.Errorf("the stream stored event %d, and had %d before: it has lost events", seq, had))
}

// verify is nil when the stream goes on from what this node has had of it. It belongs to poll.
func (l *Log) verify(info *jetstream.StreamInfo, had uint64) error {
	h, state := &l.health, &info.State
	last := state.LastSeq
	if last < had {
		behind := l.suspect(fmt.Errorf("the stream ends with %d, and had %d: it has lost events, or its leader is new and has them in a moment", last, had))
		if err := natsconn.Agree(l.ctx, l.conn, l.opts.Stream); err != nil { // a former leader
			return err
		}
		if last, err := l.askLeader(l.ctx); err != nil || last >= had {
			return errors.Join(err, behind)
		}
		if h.behind++; h.behind < confirmations {
			l.askNow()
			return behind
		}
		return l.close(info, last+1, had)
	}
	h.behind = 0
	if !h.unsure.Load() && h.doubt.Load() == nil {
		h.bumped = l.known.bumped.Load() // while this node was there, and nothing was lost
		return nil
	}
	l.taking.Lock()
	at, id := l.at, l.ids.newest
	l.taking.Unlock()
	led, err := l.readLeader(l.ctx, at, 1)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return err
	}
	if err == nil && led[0].seq == at && differ(led[0].id, id) {
		_ = l.suspect(errWentBack)
		return l.close(info, at, had)
	}
	if err := l.lookAtOps(info, had); err != nil {
		return err
	}
	h.unsure.Store(false)
	h.doubt.Store(nil)
	return nil
}

// lookAtOps forgets the op ids of what a bump has let go of, but for those that the stream was seen to have before it:
// what it had lost is stored again when it is tried again.
func (l *Log) lookAtOps(info *jetstream.StreamInfo, had uint64) error {
	h, gone := &l.health, l.known.bumped.Load()
	switch {
	case info.Config.Metadata[natsconn.Mark] == wentBack:
		return l.lookKept(&info.State, had)
	case gone > h.bumped || h.doubt.Load() != nil && info.State.FirstSeq > had: // else it was a leader that was new
		l.ids.Lock()
		l.ids.ops.ForgetAbove(h.kept)
		l.ids.Unlock()
	}
	h.kept, h.bumped = 0, gone
	return nil
}

// lookKept finds up to where a stream that takes nothing more has what it had, by the op ids that are remembered. What
// it has lost others may have filled with theirs, up to where it ends.
func (l *Log) lookKept(state *jetstream.StreamState, had uint64) (err error) {
	l.ids.Lock()
	ops := l.ids.ops.All()
	l.ids.Unlock()
	n := sort.Search(len(ops), func(i int) bool { // the first that isn't there
		op := ops[i]
		if err != nil || op.Seq < state.FirstSeq || op.Seq > state.LastSeq {
			return op.Seq > state.LastSeq
		}
		var led []stored
		led, err = l.readLeader(l.ctx, op.Seq, 1)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = nil
			return true
		}
		return err == nil && (led[0].seq != op.Seq || sendingOf(led[0].id) != op.ID)
	})
	if err == nil {
		_, err = l.askLeader(l.ctx)
	}
	if err != nil || l.known.Load().FirstSeq > had {
		return err // or a bump has let go of all since, and nothing can be seen any more
	}
	l.health.kept = 0
	if n > 0 && ops[n-1].Seq >= state.FirstSeq {
		l.health.kept = ops[n-1].Seq
	}
	return nil
}

// differ is whether they are ids of two messages; one may not be known.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// close has the stream take nothing more, from nodes either that don't know what it had.
func (l *Log) close(info *jetstream.StreamInfo, from, to uint64) error {
	if info.Config.Metadata[natsconn.Mark] != wentBack { // else another node was first
		l.opts.Logger.Error("the stream has lost events that it had, and takes no more until busbar log bump nats was run", "from", from, "to", to)
		if err := l.mark(l.ctx, info.Config, wentBack); err != nil {
			return errors.Join(errWentBack, err)
		}
	}
	if err := l.lookKept(&info.State, to); err != nil {
		return err
	}
	return errWentBack
}

// mark is as what the stream is opened from now on. Nothing can be published to one that isn't a change log.
func (l *Log) mark(ctx context.Context, has jetstream.StreamConfig, state string) error {
	config := natsconn.MarkedAs(natsconn.Keeping(has, l.config(0)), state)
	if state != marked {
		config.Subjects = []string{l.opts.Stream + "." + closed}
	}
	_, err := l.js.UpdateStream(ctx, config)
	return err
}

// serving is nil when the stream can store, by what its leader says.
func serving(info *jetstream.StreamInfo) error {
	switch info.Config.Metadata[natsconn.Mark] {
	case marked:
	case wentBack:
		return errWentBack
	default:
		return errMoved
	}
	if info.Cluster == nil {
		return nil
	}
	const lost = 10 * time.Second // a leader that hears of nobody for longer isn't one
	there, need := 0, info.Config.Replicas/2+1
	if info.Cluster.Leader != "" {
		there++
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Offline && r.Active < lost {
			there++
		}
	}
	switch {
	case info.Cluster.Leader == "":
		return errors.New("the stream has no leader, and can't store anything")
	case there < need:
		return fmt.Errorf("%d of the stream's %d servers are there, and it needs %d to store anything", there, info.Config.Replicas, need)
	}
	return nil
}

// Bump lets go of all events in the stream, and has seqs go on above all that there can have been. Nodes may run.
func Bump(ctx context.Context, o Options) (events, last uint64, err error) {
	l, err := dial(ctx, o)
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	err = natsconn.Patiently(ctx, o.Logger, "bumping the stream "+o.Stream, func(ctx context.Context) error {
		if l.stream, err = l.js.Stream(ctx, o.Stream); errors.Is(err, jetstream.ErrStreamNotFound) {
			return natsconn.Permanent(err)
		}
		if err != nil {
			return natsconn.ForGood(err)
		}
		has := l.stream.CachedInfo().Config
		if is := has.Metadata[natsconn.Mark]; is != marked && is != wentBack {
			return foreign(&has)
		}
		if err := l.mark(ctx, has, wentBack); err != nil { // nothing comes in between
			return err
		}
		if err := natsconn.Agree(ctx, l.conn, l.opts.Stream); err != nil {
			return err
		}
		info, err := l.info(ctx)
		if err != nil {
			return err
		}
		events, last = info.State.Msgs, max(hub.LogStart(time.Now()), info.State.LastSeq+1)
		if err := l.stream.Purge(ctx, jetstream.WithPurgeSequence(last+1)); err != nil {
			return err
		}
		has.Metadata = maps.Clone(has.Metadata)
		has.Metadata[bumped] = strconv.FormatUint(last, 10)
		return l.mark(ctx, has, marked)
	})
	return events, last, err
}
