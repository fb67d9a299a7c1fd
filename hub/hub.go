package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/revocations"
	"github.com/busbar-ws/busbar/hub/internal/rowstore"
	"github.com/busbar-ws/busbar/hub/internal/trouble"
	"github.com/busbar-ws/busbar/internal/fairqueue"
	"github.com/busbar-ws/busbar/internal/panics"
	"github.com/busbar-ws/busbar/internal/progress"
)

// Hub is a running server. Safe from any goroutine.
type Hub struct {
	opts   Options
	engine *eventloop.Engine
	log    ChangeLog
	rows   *rowstore.Store
	leaves *leaveBatcher

	queues queues

	delivered progress.Progress // of what the log has

	pong *eventloop.Frame // the answer to each {"type":"ping"}

	// storing is held from storing a row's snapshot until its frame is in the
	// mailboxes, and while one is read: what was stored last is also sent last, and
	// what a snapshot has that was read isn't sent behind it.
	storing sync.Mutex
	framing sync.Mutex // held while a fetched snapshot is encoded
	held    heldChanges

	rowsPatience, viewPatience time.Duration // the constants, less in tests

	adjusted
	ending
	revoked  revocations.Log[Identity]
	counters counters
	panics   panics.Log // off the loops

	refused map[Cause]*atomic.Uint64
	trouble trouble.Log
}

// adjusted is what Adjust changes while the hub runs.
type adjusted struct {
	origins          atomic.Pointer[Origins] // nil: those of opts
	maxSubscriptions atomic.Int64
}

// ending is how far the hub is with its end.
type ending struct {
	unready    atomic.Bool     // Unready was called, or what follows it
	shutDown   atomic.Bool     // publishers are refused
	background context.Context // ends with the hub
	cancel     context.CancelFunc
	stop       sync.Once
}

// New starts a hub: when it returns, clients can connect.
func New(o Options) (*Hub, error) {
	o.setDefaults()
	setDefault(&o.Logger, slog.Default())
	setDefault(&o.Loops.Log, o.Logger)
	o.Loops.Rates, o.Loops.RateKey = o.limits(), rateKey
	if err := o.validate(); err != nil {
		return nil, err
	}
	h := &Hub{opts: o, log: o.Log, refused: newRefused()}
	h.pong = eventloop.NewFrame(ws.OpText, []byte(`{"type":"pong"}`))
	h.pong.Lossy = true // whoever reads too slowly for it isn't told that it is lost
	h.maxSubscriptions.Store(int64(o.MaxSubscriptions))
	if h.log == nil {
		log := NewMemoryLog(0, 0)
		if o.Seqs == SeqGiven {
			log.Resume(0)
		}
		h.log = log
	}
	if o.Rows.Fetch == nil {
		h.rows = rowstore.New(o.Rows.Max, int64(o.Rows.MaxBytes), h.forgetRow)
		if err := h.loadRows(); err != nil {
			return nil, err
		}
	}
	h.background, h.cancel = context.WithCancel(context.Background())
	hold := func(n int) (release func(), ok bool) { return h.engine.Hold(n) }
	h.queues = newQueues(&h.opts, hold, func(r any) { h.panics.Note(o.Logger, "in a queue", r) })
	h.rowsPatience, h.viewPatience = rowsPatience, viewPatience
	h.leaves = newLeaveBatcher(h)
	var err error
	o.Loops.LastSeq = h.logBounds().Last
	if log, ok := h.log.(interface{ Kept() int64 }); ok {
		o.Loops.Memory.KeptElsewhere = log.Kept
	}
	if h.engine, err = eventloop.New((*callbacks)(h), o.Loops); err == nil {
		h.log.Follow(h.deliver)
		h.delivered.Reach(h.logBounds().Last) // what came before is nobody's news: there are no clients yet
		if o.Peers != nil {
			o.Peers.Follow(h.fromPeer, h.forPeer)
		}
		err = h.engine.Start()
	}
	if err != nil {
		h.close(h.background)
		return nil, err
	}
	return h, nil
}

// queuesGrace is how long Shutdown waits for lookups and fetches that were told to end.
const queuesGrace = time.Second

// Addr is the WebSocket listener's address.
func (h *Hub) Addr() net.Addr { return h.engine.Addr() }

// Capacity is how many connections the process can hold and what limits that.
func (h *Hub) Capacity() eventloop.Capacity { return h.engine.Capacity() }

// Loops is how many event loops there are.
func (h *Hub) Loops() int { return h.engine.Loops() }

// Failed is closed when the event loops have stopped, by Shutdown or by themselves.
func (h *Hub) Failed() <-chan struct{} { return h.engine.Failed() }

// Answers returns nil when each event loop has done a task that was left for it now; one that never had a connection
// isn't asked. While a loop hangs it returns with ctx, and once the loops have stopped with eventloop.ErrStopped.
func (h *Hub) Answers(ctx context.Context) error { return h.engine.Each(ctx, func(*eventloop.Loop) {}) }

// Authenticate resolves a token as for a connection from an address, from memory where that will do,
// and otherwise when it is that address's turn, within Options.AuthTimeout; ErrBusy when too many wait
// for theirs. An invalid address is nobody's. What it refuses, or can't tell, is counted and logged as for a connection.
func (h *Hub) Authenticate(ctx context.Context, token string, from netip.Addr) (*Identity, error) {
	id, known := h.opts.Auth.Cached(token)
	var err error
	if !known {
		id, err = h.lookUpInTurn(ctx, token, from)
	}
	if err = verdict(id, err); err != nil {
		h.noteUnauthenticated(token, err)
		return nil, err
	}
	return id, nil
}

// verdict is nil for an identity that may be let in.
func verdict(id *Identity, err error) error {
	switch {
	case err != nil:
		return err
	case id == nil:
		return ErrUnauthorized
	case id.expired():
		return &Refusal{Cause: CauseExpired, UserID: id.UserID}
	case id.Admin:
		return nil
	case id.UserID == "":
		return noUserID
	case id.UserID == ReservedUserID:
		return reservedUserID
	}
	return nil
}

// noteUnauthenticated tells the operator, who sees nothing of it otherwise, why somebody isn't let in.
func (h *Hub) noteUnauthenticated(token string, err error) {
	if errors.Is(err, ErrUnauthorized) {
		h.noteRefused(time.Now(), token, err)
		return
	}
	h.trouble.Warn(h.opts.Logger, time.Now(), "looking up a token failed", "error", err)
}

func (h *Hub) lookUpInTurn(ctx context.Context, token string, from netip.Addr) (id *Identity, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.AuthTimeout)
	defer cancel()
	owner := fairqueue.Owner{Address: from}
	failed := h.queues.lookups.Do(ctx, owner, taskBytes+len(token), func(ctx context.Context) { id, err = h.lookUp(ctx, token) })
	switch {
	case errors.Is(failed, fairqueue.ErrFull), errors.Is(failed, fairqueue.ErrShare):
		return nil, ErrBusy
	case failed != nil:
		return nil, fmt.Errorf("waiting to look a token up: %w", failed)
	}
	return id, err
}

// close ends what runs beside the loops. What an embedder's function does beyond ctx, which
// it ought to look at, isn't waited for.
func (h *Hub) close(ctx context.Context) {
	h.cancel()
	h.leaves.close()
	h.queues.close(ctx)
}

// WaitDrained waits until the loops' queues are at most half full, and no slow client has to
// go for what is buffered (Options.Loops.Memory.BufferBytes). A publisher that can wait
// calls it before it publishes, and then goes no faster than its messages can be sent;
// one that doesn't may fill a queue, which lets go of the oldest messages.
func (h *Hub) WaitDrained(ctx context.Context) error { return h.engine.WaitDrained(ctx) }

// DrainedMessages is how many messages fit into the queues once WaitDrained has returned: half of
// Loops.QueueMessages, which is also the most to publish in one call.
func (h *Hub) DrainedMessages() int { return h.engine.DrainedFrames() }
