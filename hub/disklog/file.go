package disklog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/dedup"
	"github.com/busbar-ws/busbar/internal/sqlitefile"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// What is in the file. Sizes and what is read for trimming stand before what may fill pages of its own.
// Table log has one row: what began the log, and totals, so that no start has to count.
const schema = `
CREATE TABLE changes (seq INTEGER PRIMARY KEY, prev INTEGER NOT NULL, at INTEGER NOT NULL, size INTEGER NOT NULL,
	entity TEXT NOT NULL, op_id TEXT, audience TEXT, json BLOB NOT NULL);
CREATE TABLE rows (written INTEGER PRIMARY KEY, entity TEXT NOT NULL, row_id TEXT NOT NULL, tenant TEXT NOT NULL,
	payload BLOB NOT NULL, UNIQUE (entity, row_id));
CREATE TABLE op_ids (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, op_id TEXT NOT NULL);
CREATE TABLE log (id INTEGER PRIMARY KEY CHECK (id = 0), first INTEGER NOT NULL, last INTEGER NOT NULL,
	events INTEGER NOT NULL, bytes INTEGER NOT NULL);`

// The file says what it is: https://www.sqlite.org/pragma.html#pragma_application_id.
const (
	applicationID = 0x42555342 // BUSB
	fileVersion   = 1
)

// rowBytes is what a row takes besides its texts, about.
const rowBytes = 40

const busyTimeout = 2 * time.Second

// Causes of a file that can't be used, besides sqlitefile's.
var (
	errForeign = errors.New("it is something else's database; move it away to start with an empty log")
	errNewer   = errors.New("a newer version of Busbar made it")
	errAway    = errors.New("busbar log copy has moved it to NATS")
	errOthers  = errors.New("somebody else has written to it")
	// errGoneBack is wrapped for a file that lacks what was stored in it.
	errGoneBack = errors.New("an older one or another was written into it")
)

// explain turns what SQLite says into one line that names the file and the cause.
func explain(doing, path string, err error) error {
	cause := sqlitefile.Cause(err, path)
	text := ""
	switch {
	case errors.Is(cause, sqlitefile.ErrMoved):
		text = "; put both back, or restart the server: it goes on with what is there then"
	case errors.Is(cause, errAway):
		text = fmt.Sprintf("; start the server with -log nats, bring it back with \"busbar log copy nats disk\", or remove %s to start with an empty log", MovedTo(path))
	case errors.Is(cause, errGoneBack):
		text = "; stop the server and run \"busbar log bump\" before it starts again"
	case errors.Is(cause, sqlitefile.ErrDamaged) || errors.Is(cause, sqlitefile.ErrNotDatabase):
		text = "; restore it from a backup and run \"busbar log bump\", or move it away, with its -wal, to start with an empty log"
	}
	return fmt.Errorf("%s change log %s: %w%s", doing, path, cause, text)
}

// state is what the log has. It is a value.
type state struct {
	first, last uint64 // what the log began behind; the newest
	events      int64
	bytes       int64
	before      uint64 // the entry before the oldest, or first
	oldest      uint64 // last+1 when there is none
	oldestAt    time.Time
}

func (s *state) bounds() hub.Bounds {
	return hub.Bounds{Oldest: s.oldest, Last: s.last, Before: s.before, Trimmed: s.before != s.first}
}

// prepare checks whose file it is, and makes it a log that begins behind first when it is empty.
func prepare(ctx context.Context, conn *sql.Conn, first uint64) error {
	var id, version, tables int
	if err := conn.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&id, &version, &tables); err != nil {
		return err
	}
	switch {
	case id == 0 && tables == 0:
	case id != applicationID:
		return errForeign
	case version > fileVersion:
		return errNewer
	}
	const settings = `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;`
	if _, err := conn.ExecContext(ctx, settings); err != nil {
		return err
	}
	if tables > 0 {
		return nil
	}
	_, err := conn.ExecContext(ctx, fmt.Sprintf(`BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d; %s
		INSERT INTO log VALUES (0, %d, %d, 0, 0); COMMIT`, applicationID, fileVersion, schema, first, first))
	return err
}

// load reads the state, and op ids, without a scan of the changes.
func load(ctx context.Context, conn *sql.Conn, now time.Time) (s state, ops *dedup.Seqs, err error) {
	var newest uint64
	var at int64
	err = conn.QueryRowContext(ctx, `SELECT first, last, events, bytes, coalesce((SELECT max(seq) FROM changes), 0) FROM log`).
		Scan(&s.first, &s.last, &s.events, &s.bytes, &newest)
	if err != nil {
		return s, nil, err
	}
	s.before, s.oldest = s.last, s.last+1
	if s.events > 0 {
		err = conn.QueryRowContext(ctx, `SELECT seq, prev, at FROM changes ORDER BY seq LIMIT 1`).Scan(&s.oldest, &s.before, &at)
		s.oldestAt = time.UnixMilli(at)
	}
	if errors.Is(err, sql.ErrNoRows) || err == nil && newest != 0 && (newest != s.last || s.events == 0) {
		err = fmt.Errorf("its totals don't fit its entries: %w", sqlitefile.ErrDamaged)
	}
	if err != nil {
		return s, nil, err
	}
	ops, err = loadOpIDs(ctx, conn, now)
	return s, ops, err
}

func loadOpIDs(ctx context.Context, conn *sql.Conn, now time.Time) (*dedup.Seqs, error) {
	ops := dedup.New(dedup.Limit, dedup.Age)
	rows, err := conn.QueryContext(ctx, `SELECT seq, at, op_id FROM op_ids ORDER BY seq`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq uint64
		var at int64
		var id string
		if err := rows.Scan(&seq, &at, &id); err != nil {
			return nil, err
		}
		ops.Add(id, seq, time.UnixMilli(at))
	}
	ops.Expire(now)
	return ops, rows.Err()
}

// connections that read beside the writer.
const readers = 4

const selectPage = `SELECT seq, prev, entity, audience, json FROM changes WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`

const selectBefore = `SELECT seq, prev, entity, audience, json FROM changes WHERE seq <= ? ORDER BY seq DESC LIMIT ?`

func openReaders(path string) (*sql.DB, *sql.Stmt, error) {
	db, err := sql.Open("sqlite", sqlitefile.Source(path, "mode=ro", busyTimeout))
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	page, err := db.Prepare(selectPage)
	if err != nil {
		db.Close()
		return nil, nil, err
	}
	return db, page, nil
}

// pageBytes is about how many bytes of events are read at one time.
const pageBytes = 1 << 20

// read reads the entries behind one seq, up to and with another, or to where the file is damaged.
func (l *Log) read(ctx context.Context, from, to uint64, limit int) ([]hub.Entry, error) {
	if limit <= 0 {
		return nil, nil
	}
	rows, err := l.page.QueryContext(ctx, from, to, limit)
	if err == nil {
		defer rows.Close()
		var entries []hub.Entry
		if entries, err = scan(rows); err == nil || len(entries) > 0 && lost(sqlitefile.Cause(err, l.path)) {
			return entries, nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, explain("read", l.path, err)
}

// scan has what came before an error, too.
func scan(rows *sql.Rows) (entries []hub.Entry, err error) {
	for size := 0; size < pageBytes && rows.Next(); {
		var e hub.Entry
		var audience sql.NullString
		if err := rows.Scan(&e.Seq, &e.Prev, &e.Entity, &audience, &e.JSON); err != nil {
			return entries, err
		}
		if e.Audience, err = decodeAudience(audience); err != nil {
			return entries, fmt.Errorf("the audience of entry %d: %w", e.Seq, err)
		}
		size += len(e.JSON)
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// preload puts the newest of the entries up to last, with which the log began, in front of what has come into memory
// since: for clients that come back after a restart, all at once.
func (l *Log) preload(ctx context.Context, last uint64) {
	entries := l.newest(ctx, last)
	if len(entries) == 0 { // or nobody can read the file, which the first to need it is told
		return
	}
	tail := hub.NewTail(math.MaxInt, l.opts.TailBytes, entries[0].Prev)
	tail.Add(entries...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if since, whole := l.tail.Read(last, math.MaxInt); whole {
		tail.Add(since.Entries...)
		l.tail = tail
	}
}

// newest are entries up to last, oldest first: as many as an empty log in memory takes.
func (l *Log) newest(ctx context.Context, last uint64) (entries []hub.Entry) {
	for size, next := 0, last; size < l.opts.TailBytes && len(entries) < hub.DefaultLogEvents; {
		rows, err := l.readers.QueryContext(ctx, selectBefore, next, hub.DefaultLogEvents-len(entries))
		if err != nil {
			break
		}
		page, err := scan(rows)
		rows.Close()
		if err != nil || len(page) == 0 {
			break
		}
		for i := range page {
			size += len(page[i].JSON)
		}
		entries, next = append(entries, page...), page[len(page)-1].Prev
	}
	slices.Reverse(entries)
	return entries
}

// encodeAudience is nil for everyone.
func encodeAudience(a *hub.Audience) (any, error) {
	if len(a.Users) == 0 && a.Tenant == "" && a.Topic == "" {
		return nil, nil
	}
	text, err := json.Marshal(a)
	return string(text), err
}

// decodeAudience has a text that names nobody mean nobody knows: not everyone.
func decodeAudience(text sql.NullString) (a hub.Audience, err error) {
	if !text.Valid {
		return a, nil
	}
	err = strictjson.UnmarshalKnown([]byte(text.String), &a)
	if err != nil || len(a.Users) == 0 && a.Tenant == "" && a.Topic == "" {
		return hub.Audience{}, sqlitefile.ErrDamaged
	}
	return a, nil
}
