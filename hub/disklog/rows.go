package disklog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/busbar-ws/busbar/hub"
)

// Rows are the stored snapshots of rows, in the log's file and by its writer. They are safe from any
// goroutine.
type Rows struct {
	log *Log

	mu        sync.Mutex
	forgotten map[rowKey]struct{} // that the next transaction deletes
}

type rowKey struct{ entity, row string }

var _ hub.RowStore = (*Rows)(nil)

// Rows are those of the log; there is one such value.
func (l *Log) Rows() *Rows { return l.writer.rows }

// Load reads all rows, the one that was written last at the end.
func (r *Rows) Load(f func(*hub.StoredRow) error) error {
	rows, err := r.log.readers.Query(selectRows)
	return scanRows(r.log.path, rows, err, f)
}

const selectRows = `SELECT tenant, entity, row_id, payload FROM rows ORDER BY written`

func (w *writer) loadRows(f func(*hub.StoredRow) error) error {
	rows, err := w.conn.QueryContext(context.Background(), selectRows)
	return scanRows(w.path, rows, err, f)
}

func scanRows(path string, rows *sql.Rows, err error, f func(*hub.StoredRow) error) error {
	if err != nil {
		return explain("read rows of", path, err)
	}
	defer rows.Close()
	for rows.Next() {
		s := new(hub.StoredRow)
		if err := rows.Scan(&s.Tenant, &s.Entity, &s.RowID, &s.Payload); err != nil {
			return explain("read rows of", path, err)
		}
		if err := f(s); err != nil {
			return fmt.Errorf("row %q of %q: %w", s.RowID, s.Entity, err)
		}
	}
	if err := rows.Err(); err != nil {
		return explain("read rows of", path, err)
	}
	return nil
}

// Follow has deliver called by the log's writer.
func (r *Rows) Follow(deliver func(*hub.StoredRow), _ func(entity, rowID string) bool, _ func(entity, rowID string)) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.writer.deliverRow = deliver
}

// Put returns when the row is on the disk.
func (r *Rows) Put(row *hub.StoredRow) error {
	return r.log.do(&job{
		bytes: rowBytes + len(row.Payload), write: func(t *transaction) error { return t.put(row) },
	})
}

// Watch has nothing to do: all rows are loaded and delivered.
func (r *Rows) Watch(context.Context, string, string, uint64) (*hub.StoredRow, error) {
	return nil, nil
}

// Forget has the next transaction delete the row.
func (r *Rows) Forget(entity, rowID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten[rowKey{entity, rowID}] = struct{}{}
}

// put stores a row in place of the one that was there.
func (t *transaction) put(row *hub.StoredRow) error {
	payload := row.Payload
	if payload == nil {
		payload = []byte{} // not NULL
	}
	if _, err := t.putRow.Exec(row.Entity, row.RowID, row.Tenant, payload); err != nil {
		return err
	}
	t.rows = append(t.rows, row)
	return nil
}

// forget deletes the rows that were let go of, before others are put.
func (t *transaction) forget() error {
	r := t.writer.rows
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.forgotten {
		if _, err := t.dropRow.Exec(key.entity, key.row); err != nil {
			return err
		}
		t.forgotten = append(t.forgotten, key)
	}
	return nil
}

// stored tells the follower of the rows that were put. What it lets go of for one of them, and is put
// again behind that, isn't to be forgotten.
func (w *writer) stored(put []*hub.StoredRow, forgotten []rowKey) {
	w.rows.mu.Lock()
	for _, key := range forgotten {
		delete(w.rows.forgotten, key)
	}
	w.rows.mu.Unlock()
	for _, row := range put {
		w.rows.mu.Lock()
		delete(w.rows.forgotten, rowKey{row.Entity, row.RowID})
		w.rows.mu.Unlock()
		w.deliverRow(row)
	}
}

// settleRows finds out which rows of a transaction that failed were stored all the same.
func (w *writer) settleRows(ctx context.Context) error {
	for _, row := range w.doubtful {
		var tenant string
		var payload []byte
		err := w.conn.QueryRowContext(ctx, `SELECT tenant, payload FROM rows WHERE entity = ? AND row_id = ?`, row.Entity, row.RowID).Scan(&tenant, &payload)
		switch {
		case err == nil && tenant == row.Tenant && bytes.Equal(payload, row.Payload):
			w.stored([]*hub.StoredRow{row}, nil)
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		}
	}
	w.doubtful = nil
	return nil
}
