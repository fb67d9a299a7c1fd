package hub

import "fmt"

// RowStore keeps published snapshots beyond the process. The hub has them in memory as well, under its
// bounds (RowOptions), and tells the store what it lets go of. It is safe from any goroutine.
type RowStore interface {
	// Load calls f with every row, and ends with f's error. It is called once, before all else; Forget may be
	// called from f.
	Load(f func(*StoredRow) error) error

	// Follow is called once, before the first Put. From then on deliver is called with each row
	// that was stored, by one goroutine at a time: of one row, what it gets last is what stays.
	Follow(deliver func(*StoredRow))

	// Put returns when the row, in place of an earlier one, is as durable as the store makes it and the
	// follower has had it. After an error the earlier one is still there. The row belongs to the store.
	Put(*StoredRow) error

	// Forget lets go of a row, unless it is put again, in its own time. It is called by the follower.
	Forget(entity, rowID string)
}

// StoredRow is the last snapshot of a row.
type StoredRow struct {
	Tenant, Entity, RowID string
	Payload               []byte

	stored bool
}

func (h *Hub) loadRows() error {
	if h.opts.Rows.Store == nil {
		return nil
	}
	err := h.opts.Rows.Store.Load(func(r *StoredRow) error {
		f, err := rowFrame(Snapshot, r.Entity, r.RowID, r.Payload)
		if err == nil {
			h.rows.Put(r.Tenant, r.Entity, r.RowID, f.Wire())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("loading rows: %w", err)
	}
	h.opts.Rows.Store.Follow(func(r *StoredRow) {
		defer h.survive("delivering a stored row")
		r.stored = true
		_ = h.sendRow(Snapshot, r) // its names were checked
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
