package disklog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/dedup"
	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// job is something to be written. What has piled up shares a transaction.
type job struct {
	bytes int // about what it writes
	// write runs in the writer's transaction. When that fails, and others were in it, write is called
	// again in one of its own.
	write func(*transaction) error
	done  chan error // gets one value: what became of it
}

// groupBytes is about how much is committed at one time, beside the job that goes beyond it.
const groupBytes = 4 << 20

// writer is the only one that writes the file. It is owned by its goroutine once that runs.
type writer struct {
	path string
	opts Options
	db   *sql.DB
	conn *sql.Conn
	statements
	files sqlitefile.Files // that are open
	left  struct {         // how the last commit left them
		main  sqlitefile.File
		index [100]byte
	}
	index *sqlitefile.Index // nil before the first opening

	state   state
	opIDs   *dedup.Seqs
	unsure  bool      // a transaction failed: nobody knows what is in the file
	failing time.Time // since when nothing can be stored; zero: it can

	rows     *Rows
	doubtful []*hub.StoredRow // of the transaction that failed

	committed  func(state, []hub.Entry)
	deliver    func([]hub.Entry)
	deliverRow func(*hub.StoredRow)
}

// statements are prepared on the writer's connection.
type statements struct {
	begin, commit, rollback, insert, insertOp, dropOps, oldest, drop, totals, putRow, dropRow *sql.Stmt
}

// texts are all of them.
func (s *statements) texts() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&s.begin:    `BEGIN IMMEDIATE`,
		&s.commit:   `COMMIT`,
		&s.rollback: `ROLLBACK`,
		&s.insert:   `INSERT INTO changes (seq, prev, at, size, entity, op_id, audience, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		&s.insertOp: `INSERT INTO op_ids (seq, at, op_id) VALUES (?, ?, ?)`,
		&s.dropOps:  `DELETE FROM op_ids WHERE seq < ?`,
		&s.oldest:   `SELECT seq, prev, at, size FROM changes ORDER BY seq LIMIT ?`,
		&s.drop:     `DELETE FROM changes WHERE seq <= ?`,
		&s.totals:   `UPDATE log SET last = ?, events = ?, bytes = ? WHERE last = ?`,
		&s.putRow:   `INSERT OR REPLACE INTO rows (entity, row_id, tenant, payload) VALUES (?, ?, ?, ?)`,
		&s.dropRow:  `DELETE FROM rows WHERE entity = ? AND row_id = ?`,
	}
}

func (s *statements) prepare(ctx context.Context, conn *sql.Conn) (err error) {
	for stmt, text := range s.texts() {
		if *stmt, err = conn.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// close is called before the connection is closed, which doesn't close them.
func (s *statements) close() {
	for stmt := range s.texts() {
		if *stmt != nil {
			(*stmt).Close()
		}
	}
	*s = statements{}
}

func openWriter(path string, o Options) (*writer, error) {
	w := &writer{
		path: path, opts: o, rows: &Rows{forgotten: make(map[rowKey]struct{})},
		committed: func(state, []hub.Entry) {}, deliver: func([]hub.Entry) {}, deliverRow: func(*hub.StoredRow) {},
	}
	err := sqlitefile.Inspect(path, false)
	const header = 100 // SQLite takes a shorter file for an empty one
	if info, failed := os.Stat(path); err == nil && failed == nil && info.Size() > 0 && info.Size() < header {
		err = sqlitefile.ErrNotDatabase
	}
	if err == nil && sqlitefile.FileAt(path) == (sqlitefile.File{}) && sqlitefile.FileAt(MovedTo(path)) != (sqlitefile.File{}) {
		err = errAway
	}
	if err == nil {
		err = sqlitefile.Create(path)
	}
	if err == nil {
		err = w.open(context.Background())
	}
	if err != nil {
		w.close()
		return nil, explain("open", path, err)
	}
	return w, nil
}

func (w *writer) open(ctx context.Context) (err error) {
	before := sqlitefile.FilesAt(w.path)
	if w.db, err = sql.Open("sqlite", sqlitefile.Source(w.path, "mode=rw", busyTimeout)); err != nil {
		return err
	}
	w.db.SetMaxOpenConns(1)
	if w.conn, err = w.db.Conn(ctx); err != nil {
		return err
	}
	first := uint64(0)
	if !w.opts.Given {
		first = hub.LogStart(time.Now())
	}
	if err = prepare(ctx, w.conn, first); err != nil {
		return err
	}
	if err = w.statements.prepare(ctx, w.conn); err != nil {
		return err
	}
	if w.state, w.opIDs, err = load(ctx, w.conn, time.Now()); err != nil {
		return err
	}
	if w.files, err = sqlitefile.Opened(w.path, before); err != nil {
		return err
	}
	if w.index == nil {
		if w.index, err = sqlitefile.OpenIndex(w.path); err != nil {
			return err
		}
	}
	w.leave()
	return nil
}

// leave remembers how a commit has left the files.
func (w *writer) leave() {
	w.left.main = sqlitefile.FileAt(w.path)
	w.left.index, _ = w.index.Read()
}

// moved is an error when the file that is open isn't the one at its path any more, or was written to: by others than
// SQLite, which has a commit or a checkpoint in the -shm, too.
func (w *writer) moved() error {
	files, now := w.files, sqlitefile.FilesAt(w.path)
	if w.conn == nil { // then its -wal may be a new one, or none
		files.WAL = now.WAL
	}
	switch {
	case files.MovedFrom(now):
		return sqlitefile.ErrMoved
	case w.conn != nil && !now.Main.Unwritten(w.left.main):
		index, err := w.index.Read()
		if err == nil && index == w.left.index {
			err = errOthers
		}
		return err
	}
	return nil
}

// save has what is in a -wal that was removed in the file that is left, for whoever opens that.
func (w *writer) save(ctx context.Context) {
	now := sqlitefile.FilesAt(w.path)
	if w.conn == nil || now.WAL != (sqlitefile.File{}) || !now.Main.Unwritten(w.left.main) {
		return
	}
	if _, err := w.conn.ExecContext(ctx, `PRAGMA wal_checkpoint`); err == nil {
		w.leave()
	}
}

// close is called when nobody else has the database open any more.
func (w *writer) close() error {
	err := w.disconnect()
	if w.index != nil {
		err = errors.Join(err, w.index.Close())
		w.index = nil
	}
	return err
}

func (w *writer) disconnect() (err error) {
	w.statements.close()
	if w.conn != nil {
		w.conn.Close()
	}
	if w.db != nil {
		err = w.db.Close()
	}
	w.db, w.conn = nil, nil
	return err
}

// run is the writer's goroutine.
func (w *writer) run(jobs <-chan *job, retain <-chan Retention, closing, stopped chan struct{}) {
	defer close(stopped)
	trim := time.NewTimer(0)
	defer trim.Stop()
	for {
		var group []*job
		select {
		case j := <-jobs:
			group = gather(j, jobs)
		case r := <-retain:
			w.opts.MaxEvents, w.opts.MaxBytes, w.opts.MaxAge = r.MaxEvents, r.MaxBytes, r.MaxAge
		case <-trim.C:
		case <-closing:
			return
		}
		w.do(group)
		if d, ok := w.untilTrim(time.Now()); ok {
			trim.Reset(d)
		} else {
			trim.Stop()
		}
	}
}

// gather takes what else waits, up to groupBytes. Those who were answered a moment ago have a turn
// before that: they are about to come with more.
func gather(j *job, jobs <-chan *job) []*job {
	group, size := []*job{j}, j.bytes
	runtime.Gosched()
	for size < groupBytes {
		select {
		case j := <-jobs:
			group, size = append(group, j), size+j.bytes
		default:
			return group
		}
	}
	return group
}

// do stores a group, or what of it can be stored: nobody fails for what somebody else's change needs.
func (w *writer) do(group []*job) {
	err := w.transact(group)
	if err == nil || len(group) < 2 || errors.Is(err, hub.ErrLogUnavailable) {
		for _, j := range group {
			j.done <- err
		}
		return
	}
	for _, j := range group {
		j.done <- w.transact([]*job{j})
	}
}

// transact writes jobs in one transaction, and trims. After it others see what was stored, and the
// follower has had it.
func (w *writer) transact(group []*job) error {
	err := w.settle()
	if err != nil {
		return w.failed(err)
	}
	t := transaction{writer: w, now: time.Now(), state: w.state}
	if err := t.run(group); err != nil {
		w.unsure, w.doubtful = true, t.rows
		if errors.Is(err, errOthers) || errors.Is(err, sqlitefile.ErrMoved) {
			err = cmp.Or(w.settle(), err) // which knows more
		}
		return w.failed(err)
	}
	w.leave()
	w.state = t.state
	for _, op := range t.opIDs {
		w.opIDs.Add(op.id, op.seq, t.now)
	}
	w.committed(w.state, t.entries)
	if len(t.entries) > 0 {
		w.deliver(t.entries)
	}
	w.stored(t.rows, t.forgotten)
	if !w.failing.IsZero() {
		w.opts.Logger.Info("the change log stores events again", "after", time.Since(w.failing).Round(time.Millisecond))
		w.failing = time.Time{}
	}
	return nil
}

// failed logs the first error of a row, and says what it means for publishers.
func (w *writer) failed(err error) error {
	kind := hub.ErrLogUnavailable
	if sqlitefile.NoRoom(err, w.path) {
		kind = hub.ErrLogFull
	}
	err = fmt.Errorf("%w (%w)", kind, explain("write", w.path, err))
	if w.failing.IsZero() {
		w.failing = time.Now()
		w.opts.Logger.Log(context.Background(), slog.LevelError, "the change log stores nothing: publishers are refused until it can", "error", err)
	}
	return err
}

// settle finds out what became of a transaction that failed. One whose commit failed may have been
// stored all the same; then it is the log's, and the follower gets it.
func (w *writer) settle() error {
	if !w.unsure {
		return nil
	}
	ctx := context.Background()
	if w.conn != nil {
		_, _ = w.rollback.Exec() // an error says that SQLite has done it already
	}
	if err := w.moved(); err != nil {
		w.save(ctx)
		return err
	}
	if !w.unchanged(ctx) {
		known := w.state
		_ = w.disconnect()
		if err := w.open(ctx); err != nil {
			w.state = known
			return err
		}
		if err := w.catchUp(ctx, known); err != nil {
			return err
		}
	}
	if err := w.settleRows(ctx); err != nil {
		return err
	}
	w.unsure = false
	return nil
}

// unchanged is whether the connection can be used, and sees the log as it was before the transaction that failed.
func (w *writer) unchanged(ctx context.Context) bool {
	if w.conn == nil {
		return false
	}
	var last uint64
	err := w.conn.QueryRowContext(ctx, `SELECT last FROM log`).Scan(&last)
	return err == nil && last == w.state.last
}

// catchUp delivers what the file, which was opened anew, has behind what is known.
func (w *writer) catchUp(ctx context.Context, known state) error {
	if w.state.first != known.first || w.state.last < known.last {
		err := fmt.Errorf("it has events up to %d, and had them up to %d: %w", w.state.last, known.last, errGoneBack)
		w.state = known
		return err
	}
	for known.last < w.state.last {
		entries, err := w.after(ctx, known.last)
		if err != nil || len(entries) == 0 {
			w.state = known
			return fmt.Errorf("reading what is behind %d: %w", known.last, err)
		}
		known.last = entries[len(entries)-1].Seq
		w.committed(w.state, entries)
		w.deliver(entries)
	}
	return nil
}

func (w *writer) after(ctx context.Context, seq uint64) ([]hub.Entry, error) {
	rows, err := w.conn.QueryContext(ctx, selectPage, seq, w.state.last, trimRows)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return scan(rows)
}
