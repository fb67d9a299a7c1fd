package hub

import (
	"context"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/trouble"
)

// rowQuestion is what a worker is to find out.
type rowQuestion struct {
	identity      *Identity
	entity, rowID string
	deflate       bool // the client takes compressed messages
}

// rowAnswer is what a worker has found out. A row that isn't there yet, or isn't for this client
// yet, has no frame: the subscription stays, and waits for it.
type rowAnswer struct {
	frame   *eventloop.Frame
	version uint64
	denied  bool
	err     error
}

// answerTo runs on a worker.
func (h *Hub) answerTo(ctx context.Context, asked rowQuestion) rowAnswer {
	var a rowAnswer
	ctx, cancel := context.WithTimeout(ctx, h.opts.Rows.Timeout)
	defer cancel()
	if h.rows != nil {
		a = h.answerFromStore(ctx, asked)
		if a.err != nil {
			h.noteFetchError(ctx, asked, a.err)
		} else if a.frame == nil {
			h.counters.denied.Add(1)
		}
		return a
	}
	payload, ok, err := h.callSnapshots(ctx, asked)
	switch {
	case err != nil:
		a.err = err
	case !ok:
		a.denied = true
		h.counters.denied.Add(1)
	default:
		a.frame, a.err = h.framed(asked, payload)
	}
	if a.err != nil {
		h.noteFetchError(ctx, asked, a.err)
	}
	return a
}

// answerFromStore asks the store for what isn't in memory, or isn't the newest there.
func (h *Hub) answerFromStore(ctx context.Context, asked rowQuestion) (a rowAnswer) {
	a.frame, a.version = h.stored(asked)
	if h.opts.Rows.Store == nil {
		return a
	}
	newest, err := h.opts.Rows.Store.Watch(ctx, asked.entity, asked.rowID, a.version)
	if err != nil || newest == nil {
		a.err = err
		return a
	}
	if a.frame, a.version = h.stored(asked); a.version >= newest.Seq { // it was delivered meanwhile
		return a
	}
	a.frame, a.version = nil, newest.Seq
	if newest.Tenant == "" || newest.Tenant == asked.identity.Tenant {
		a.frame, a.err = h.framed(asked, newest.Payload)
	}
	return a
}

// noteFetchError tells the operator of what failed, and isn't only of no use any more.
func (h *Hub) noteFetchError(ctx context.Context, asked rowQuestion, err error) {
	if ctx.Err() != context.Canceled {
		h.counters.snapshotErrors.Add(1)
		h.trouble.Warn(h.opts.Logger, time.Now(), "fetching a snapshot failed", "entity", trouble.Shortened(asked.entity), "error", err)
	}
}

// framed encodes one snapshot at a time: for a moment each is there three times.
func (h *Hub) framed(asked rowQuestion, payload []byte) (*eventloop.Frame, error) {
	release, ok := h.engine.Hold(len(payload))
	if !ok {
		return nil, ErrOverloaded
	}
	defer release()
	h.framing.Lock()
	defer h.framing.Unlock()
	f, err := rowFrame(Snapshot, asked.entity, asked.rowID, payload)
	if err != nil {
		return nil, err
	}
	if asked.deflate {
		h.engine.Deflate(f)
	}
	h.engine.Count(f)
	return f, nil
}

// stored reads a row's snapshot, behind whoever is publishing it.
func (h *Hub) stored(asked rowQuestion) (f *eventloop.Frame, version uint64) {
	f, version = h.storedFrame(asked)
	if f != nil && asked.deflate {
		h.engine.Deflate(f)
	}
	return f, version
}

func (h *Hub) storedFrame(asked rowQuestion) (f *eventloop.Frame, version uint64) {
	h.storing.Lock()
	defer h.storing.Unlock()
	return h.rows.Frame(asked.identity.Tenant, asked.entity, asked.rowID, asked.deflate)
}

// rowFrame encodes a row frame and the WebSocket frame around it.
func rowFrame(kind RowKind, entity, rowID string, payload []byte) (*eventloop.Frame, error) {
	b, err := AppendRowFrame(nil, kind, entity, rowID, payload)
	if err != nil {
		return nil, err
	}
	f := eventloop.NewFrame(ws.OpBinary, b)
	f.Kind = eventloop.KindRow
	return f, nil
}
