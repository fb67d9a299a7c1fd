package disklog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/rowcopy"
	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// Unbounded has a log let go of nothing.
var Unbounded = Options{MaxEvents: math.MaxInt, MaxBytes: math.MaxInt}

// The op ids are those that are remembered.
const selectAll = `SELECT c.seq, c.at, c.audience, c.json, o.op_id FROM changes c LEFT JOIN op_ids o ON o.seq = c.seq ORDER BY c.seq`

// Export calls f with all changes, their seqs and op ids in them, and when they were stored.
func (l *Log) Export(f func(*hub.Change, time.Time) error) error {
	var first uint64
	if err := l.readers.QueryRow(`SELECT first FROM log`).Scan(&first); err != nil {
		return explain("read", l.path, err)
	}
	if first == 0 {
		return fmt.Errorf("copy change log %s: its publishers number their changes (-seq given), which no other log can keep", l.path)
	}
	rows, err := l.readers.Query(selectAll)
	if err != nil {
		return explain("read", l.path, err)
	}
	defer rows.Close()
	for rows.Next() {
		c, at, err := scanChange(rows)
		if err != nil {
			return explain("read", l.path, err)
		}
		if err := f(c, at); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return explain("read", l.path, err)
	}
	return nil
}

// scanChange has the change that makes an entry with the same bytes.
func scanChange(rows *sql.Rows) (*hub.Change, time.Time, error) {
	var seq uint64
	var at int64
	var text []byte
	var audience, opID sql.NullString
	if err := rows.Scan(&seq, &at, &audience, &text, &opID); err != nil {
		return nil, time.Time{}, err
	}
	c, err := hub.DecodeChange(text)
	if err == nil {
		c.Audience, err = decodeAudience(audience)
	}
	if e := hub.NewEntry(seq, 0, &c); err != nil || !bytes.Equal(e.JSON, text) {
		return nil, time.Time{}, fmt.Errorf("entry %d isn't as it was written: %w", seq, sqlitefile.ErrDamaged)
	}
	c.OpID = opID.String
	return &c, time.UnixMilli(at), nil
}

// MoveAway closes a log whose seqs go on elsewhere, so that it isn't opened again, and none begins in its place.
func (l *Log) MoveAway() error {
	if err := l.Close(); err != nil {
		return err
	}
	return rename(l.path, MovedTo(l.path))
}

// MovedTo is what a log is called that was moved away.
func MovedTo(path string) string { return path + ".moved" }

// rename returns when the name is on the disk.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Import makes the file, which isn't there yet, a log with the entries and rows that each and rows call their
// arguments with. The file appears when all is in it.
func Import(path string, b hub.Bounds, each func(func(*hub.Change, time.Time) error) error, rows rowcopy.Each) error {
	part := path + ".part"
	for _, name := range []string{part, part + "-wal", part + "-shm"} { // of an import that was broken off
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	w, err := openWriter(part, Unbounded)
	if err != nil {
		return err
	}
	err = w.importAll(b, each)
	if err == nil {
		err = rowcopy.Copy(rows, w.importRows, w.loadRows)
	}
	if err := errors.Join(err, w.close()); err != nil {
		return err
	}
	return rename(part, path)
}

func (w *writer) importAll(b hub.Bounds, each func(func(*hub.Change, time.Time) error) error) error {
	const together = 10_000 // in a transaction
	t := transaction{writer: w, state: state{first: b.Before, last: b.Before, before: b.Before, oldest: b.Before + 1}}
	if b.Trimmed {
		t.state.first--
	}
	if _, err := w.begin.Exec(); err != nil {
		return explain("write", w.path, err)
	}
	err := each(func(c *hub.Change, at time.Time) error {
		if t.state.events%together == together-1 {
			if err := w.again(); err != nil {
				return explain("write", w.path, err)
			}
		}
		t.now, t.entries, t.opIDs, t.seen = at, t.entries[:0], t.opIDs[:0], nil
		e, id := hub.NewEntry(c.Seq, t.state.last, c), c.OpID
		w.opIDs.Expire(at)
		if _, repeated := w.opIDs.Seen(id); repeated { // nodes had forgotten it
			id = ""
		}
		if err := t.add(&e, id); err != nil {
			return explain("write", w.path, err)
		}
		w.opIDs.Add(id, c.Seq, at)
		return nil
	})
	if err != nil {
		return err
	}
	return w.finish(&t.state)
}

// importRows is for a file that has none.
func (w *writer) importRows(each rowcopy.Each) error {
	const together = 16 << 20 // bytes in a transaction, beside the row that goes beyond it
	if _, err := w.begin.Exec(); err != nil {
		return explain("write", w.path, err)
	}
	size := 0
	err := each(func(r *hub.StoredRow) error {
		if size > together {
			if err := w.again(); err != nil {
				return explain("write", w.path, err)
			}
			size = 0
		}
		size += rowBytes + len(r.Payload)
		if err := (&transaction{writer: w}).put(r); err != nil {
			return explain("write", w.path, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := w.commit.Exec(); err != nil {
		return explain("write", w.path, err)
	}
	return nil
}

// again commits, and begins another transaction.
func (w *writer) again() error {
	if _, err := w.commit.Exec(); err != nil {
		return err
	}
	_, err := w.begin.Exec()
	return err
}

// finish keeps the op ids that are remembered, and the totals.
func (w *writer) finish(s *state) error {
	w.opIDs.Expire(time.Now())
	oldest, ok := w.opIDs.Oldest()
	if !ok {
		oldest = math.MaxInt64
	}
	_, err := w.dropOps.Exec(oldest)
	if err == nil {
		_, err = w.conn.ExecContext(context.Background(), `UPDATE log SET first = ?, last = ?, events = ?, bytes = ?`,
			s.first, s.last, s.events, s.bytes)
	}
	if err == nil {
		_, err = w.commit.Exec()
	}
	if err != nil {
		return explain("write", w.path, err)
	}
	return nil
}
