package disklog

import (
	"database/sql"
	"errors"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// transaction is what the writer is about to commit: the state that the log will have, and what came
// into it.
type transaction struct {
	*writer
	now     time.Time
	state   state
	entries []hub.Entry
	opIDs   []opID
	seen    map[string]uint64 // opIDs by id

	rows      []*hub.StoredRow // that were put
	forgotten []rowKey
}

type opID struct {
	id  string
	seq uint64
}

func (t *transaction) run(group []*job) error {
	if _, err := t.begin.Exec(); err != nil {
		return err
	}
	t.writer.opIDs.Expire(t.now)
	if err := t.forget(); err != nil {
		return err
	}
	for _, j := range group {
		if err := j.write(t); err != nil {
			return err
		}
	}
	if err := t.trim(); err != nil {
		return err
	}
	if t.state != t.writer.state {
		if err := t.putTotals(); err != nil {
			return err
		}
	}
	if err := t.moved(); err != nil {
		return err
	}
	_, err := t.commit.Exec()
	return err
}

// putTotals also finds out whether the file still is as the writer left it.
func (t *transaction) putTotals() error {
	result, err := t.totals.Exec(t.state.last, t.state.events, t.state.bytes, t.writer.state.last)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(errOthers, err)
	}
	return nil
}

// append stores changes behind what there is. After a *hub.SeqError none of them is in the transaction.
func (t *transaction) append(changes []hub.Change) ([]hub.Appended, error) {
	results, entries, err := t.state.bounds().Number(changes, t.known)
	if err != nil {
		return nil, err
	}
	for i := range changes {
		if results[i].Repeated {
			continue
		}
		if err := t.add(&entries[0], changes[i].OpID); err != nil {
			return nil, err
		}
		entries = entries[1:]
	}
	return results, nil
}

func (t *transaction) known(id string) (seq uint64, ok bool) {
	if seq, ok = t.seen[id]; ok {
		return seq, true
	}
	return t.writer.opIDs.Seen(id)
}

func (t *transaction) add(e *hub.Entry, id string) error {
	audience, err := encodeAudience(&e.Audience)
	if err != nil {
		return err
	}
	size := int64(rowBytes + len(e.JSON) + len(e.Entity) + len(id))
	if text, ok := audience.(string); ok {
		size += int64(len(text))
	}
	at := t.now.UnixMilli()
	_, err = t.insert.Exec(e.Seq, e.Prev, at, size, e.Entity, sql.NullString{String: id, Valid: id != ""}, audience, e.JSON)
	if err != nil {
		return err
	}
	if id != "" {
		if _, err := t.insertOp.Exec(e.Seq, at, id); err != nil {
			return err
		}
		if t.seen == nil {
			t.seen = make(map[string]uint64)
		}
		t.seen[id] = e.Seq
		t.opIDs = append(t.opIDs, opID{id, e.Seq})
	}
	if t.state.events == 0 {
		t.state.oldest, t.state.before, t.state.oldestAt = e.Seq, e.Prev, t.now
	}
	t.state.last = e.Seq
	t.state.events++
	t.state.bytes += size
	t.entries = append(t.entries, *e)
	return nil
}

// trimRows is how many entries are let go of at one time, beside as many as came in.
const trimRows = 256

// trim lets go of the oldest entries and op ids that are beyond the bounds.
func (t *transaction) trim() error {
	if len(t.opIDs) > 0 {
		oldest, ok := t.writer.opIDs.Oldest()
		if !ok { // all before are forgotten, and may have come again
			oldest = t.opIDs[0].seq
		}
		if _, err := t.dropOps.Exec(oldest); err != nil {
			return err
		}
	}
	if !t.opts.exceeded(&t.state, t.now) {
		return nil
	}
	upTo, err := t.findOldest(trimRows + 2*len(t.entries))
	if err != nil || upTo == 0 {
		return err
	}
	_, err = t.drop.Exec(upTo)
	return err
}

// findOldest moves the state's oldest entry on, by at most so many; those up to upTo are to go.
func (t *transaction) findOldest(most int) (upTo uint64, err error) {
	rows, err := t.oldest.Query(most + 1)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	s := &t.state
	for n := 0; rows.Next(); n++ {
		var size, at int64
		if err := rows.Scan(&s.oldest, &s.before, &at, &size); err != nil {
			return 0, err
		}
		s.oldestAt = time.UnixMilli(at)
		if n == most || !t.opts.exceeded(s, t.now) {
			return upTo, rows.Err()
		}
		upTo = s.oldest
		s.events--
		s.bytes -= size
	}
	s.oldest, s.before, s.oldestAt = s.last+1, s.last, time.Time{} // all are to go
	return upTo, rows.Err()
}

// exceeded is whether the oldest entry has to go.
func (o *Options) exceeded(s *state, now time.Time) bool {
	return s.events > int64(o.MaxEvents) || s.bytes > int64(o.MaxBytes) || s.events > 0 && o.MaxAge > 0 && now.Sub(s.oldestAt) >= o.MaxAge
}

// untilTrim is when the writer has to trim although nobody appends; never when ok is false.
func (w *writer) untilTrim(now time.Time) (d time.Duration, ok bool) {
	switch {
	case !w.failing.IsZero():
		return time.Second, true
	case w.opts.exceeded(&w.state, now):
		return 0, true
	case w.opts.MaxAge > 0 && w.state.events > 0:
		// Entries that came one after the other go together: a look a second at most.
		return w.opts.MaxAge - now.Sub(w.state.oldestAt) + min(time.Second, w.opts.MaxAge/64), true
	}
	return 0, false
}
