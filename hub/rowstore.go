package hub

import (
	"context"
	"fmt"
)

// RowStore keeps published snapshots beyond the process, for this hub alone or for those of several nodes
// (Options.Peers). It is safe from any goroutine.
//
// The hub has snapshots in memory as well, under its bounds (RowOptions). Of a store of its own these are all there
// are, and it is told what the hub lets go of. Of a shared one they are copies, known by their Seq.
type RowStore interface {
	// Load calls f with every row of a store that is this hub's own, and ends with f's error. It is called
	// once, before all else; Forget may be called from f.
	Load(f func(*StoredRow) error) error

	// Follow is called once, before the first Put. From then on deliver is called with each row
	// that was stored, by one goroutine at a time, in the order in which that was: of one row, what it gets last is what
	// stays. A shared store needn't deliver what isn't wanted any more, and calls forget when the hub is to give its
	// copy of a row to nobody: what the store has of that, if anything, it says when it is watched, or delivers.
	Follow(deliver func(*StoredRow), wanted func(entity, rowID string) bool, forget func(entity, rowID string))

	// Put returns when the row, in place of an earlier one, is as durable as the store makes it and the
	// follower has had it. After an error the earlier one is still there, but for ErrLogUnavailable, which may come
	// of an answer that was lost. The row belongs to the store. A shared one is given updates too, which aren't kept.
	Put(*StoredRow) error

	// Watch has the follower get all that is put from now on, at any node, for as long as the row is wanted, and
	// returns the snapshot in front of that: nil when there is none, and when it is the one that the hub has (a Seq, 0 for
	// none). With a store of the hub's own that is always so.
	Watch(ctx context.Context, entity, rowID string, have uint64) (*StoredRow, error)

	// Forget lets go of a row, unless it is put again, in its own time. It is called by the follower. A shared
	// store keeps it: other hubs may have it.
	Forget(entity, rowID string)
}

// StoredRow is a snapshot of a row, or an update.
type StoredRow struct {
	Tenant, Entity, RowID string
	Payload               []byte
	Kind                  RowKind

	// Of a store that several nodes share: Seq rises with each message of a row, and Owner is whose the row was
	// before it, "" for everyone's.
	Seq   uint64
	Owner string

	stored bool
}

func (h *Hub) loadRows() error {
	if h.opts.Rows.Store == nil {
		return nil
	}
	err := h.opts.Rows.Store.Load(func(r *StoredRow) error {
		f, err := rowFrame(Snapshot, r.Entity, r.RowID, r.Payload)
		if err == nil {
			h.rows.Put(0, r.Tenant, r.Entity, r.RowID, f.Wire())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("loading rows: %w", err)
	}
	h.opts.Rows.Store.Follow(func(r *StoredRow) {
		defer h.survive("delivering a stored row")
		r.stored = true
		_ = h.sendRow(r) // its names were checked
	}, func(entity, rowID string) bool { return h.engine.Wanted(keyOfRow(entity, rowID)) }, func(entity, rowID string) {
		h.storing.Lock()
		defer h.storing.Unlock()
		h.rows.Forget(entity, rowID)
	})
	return nil
}

func (h *Hub) storeRow(r *StoredRow) (err error) {
	if err := checkName("entity", r.Entity); err != nil {
		return err
	}
	if err := checkName("row_id", r.RowID); err != nil {
		return err
	}
	defer h.recovered("storing a row", &err)
	if err := h.opts.Rows.Store.Put(r); err != nil {
		return fmt.Errorf("storing a row: %w", err)
	}
	return nil
}

func (h *Hub) forgetRow(entity, rowID string) {
	if h.opts.Rows.Store != nil {
		h.opts.Rows.Store.Forget(entity, rowID)
	}
}

// stores is whether a row goes through the store.
func (h *Hub) stores(kind RowKind) bool {
	return h.rows != nil && h.opts.Rows.Store != nil && (kind == Snapshot || h.opts.Peers != nil)
}
