package auth

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar-ws/busbar/internal/sqlitefile"
	"golang.org/x/sys/unix"
)

// privateCopy is a copy of another program's database in WAL mode, which only this process reads. It
// is owned by whoever holds foreign.looking. The zero value is an empty one.
type privateCopy struct {
	dir  *os.File // locked as long as it is used; nil: there is none
	path string   // of the copied main file; its -wal lies beside it
	pool *sql.DB  // nil: not open

	main    sqlitefile.File // of the owner's that was copied; zero: it has to be copied again
	wal     sqlitefile.File // likewise, but the zero value is that of none
	settled bool            // a change of either shows in their states

	buffers [2][]byte
}

// current reports whether the copy is what is in the owner's files now.
func (c *privateCopy) current(path string) bool {
	return c.pool != nil && c.settled && sqlitefile.FilesAt(path) == sqlitefile.Files{Main: c.main, WAL: c.wal}
}

// take brings the copy up to date and opens it. It tries until ctx ends to get one moment of a database
// that is being written; a copy under way is finished, so that the next one has less to do.
func (c *privateCopy) take(ctx context.Context, f *foreign) error {
	if c.pool != nil {
		c.pool.Close()
		c.pool = nil
	}
	if err := c.makeDir(f.opts.CopyDir); err != nil {
		return err
	}
	for {
		whole, err := c.copyOnce(f.base, f.path)
		if err != nil {
			return err
		}
		if whole {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("it is being written faster than it can be copied: %w", ErrLocked)
		}
	}
	pool, err := f.dial(c.path, "")
	if err != nil {
		return err
	}
	c.pool = pool
	return prepareSchema(f.base, pool, f.opts)
}

// copyOnce copies the main file, if it may have changed since the last time, and then the -wal. It reports
// whether the copy is the database at one moment (https://www.sqlite.org/walformat.html):
//
// While a -wal keeps its generation, only pages that are in it are written to the main file, and what is
// committed to it stays as it is. The main file was complete when the generation began. So whatever of a
// checkpoint the copied main file has, the -wal that was copied after it has too, and SQLite takes those pages
// from there; frames that were being written fail their checksums and are left out, with all behind them.
//
// Without frames in a -wal the main file is the database, and wasn't written to if it is the same from before
// to after a moment without frames.
func (c *privateCopy) copyOnce(ctx context.Context, path string) (whole bool, err error) {
	start := time.Now()
	// The generation is read before the main file's state: a main file of an earlier one isn't complete.
	before, err := generationOf(path + "-wal")
	if err != nil {
		return false, err
	}
	now := sqlitefile.FilesAt(path)
	copied := c.main != now.Main || now.Main == sqlitefile.File{}
	if copied {
		c.main = sqlitefile.File{}
		if _, err := c.update(ctx, c.path, path); err != nil {
			return false, err
		}
	}
	if before.frames() {
		_, err = c.update(ctx, c.path+"-wal", path+"-wal")
		if errors.Is(err, os.ErrNotExist) { // its owner has closed it
			return false, nil
		}
	} else {
		err = os.RemoveAll(c.path + "-wal")
	}
	if err != nil {
		return false, err
	}
	if same, err := before.still(path + "-wal"); !same {
		return false, err
	}
	if copied && !before.frames() {
		changed, err := c.update(ctx, c.path, path)
		if changed || err != nil {
			return false, err
		}
		if same, err := before.still(path + "-wal"); !same {
			return false, err
		}
	}
	after := sqlitefile.FileAt(path)
	if !after.Same(now.Main) || !copied && !before.frames() && after != now.Main {
		return false, nil
	}
	c.wal, c.settled = now.WAL, now.Settled(start)
	if copied && now.Main.Settled(start) {
		c.main = now.Main
	}
	return true, nil
}

// update makes one file what another is, and reports whether it wasn't. What is the same isn't written
// again: of a large database little changes between two checkpoints.
func (c *privateCopy) update(ctx context.Context, path, from string) (changed bool, err error) {
	src, err := openPlain(from)
	if err != nil {
		return false, err
	}
	defer src.Close()
	dst, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer dst.Close()
	for i := range c.buffers {
		if c.buffers[i] == nil {
			c.buffers[i] = make([]byte, 256<<10)
		}
	}
	var at int64
	for {
		n, err := src.ReadAt(c.buffers[0], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		end := err != nil
		wanted, had := c.buffers[0][:n], c.buffers[1][:n]
		if m, _ := dst.ReadAt(had, at); !bytes.Equal(wanted, had[:m]) {
			changed = true
			if _, err := dst.WriteAt(wanted, at); err != nil {
				return false, err
			}
		}
		at += int64(n)
		if end {
			break
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
	info, err := dst.Stat()
	if err != nil || info.Size() == at {
		return changed, err
	}
	return true, dst.Truncate(at)
}

// generation is what all frames of a -wal have in common: its header has the salts that each of them
// repeats, and is written anew, with others, when the -wal begins from its start again.
type generation struct {
	file   sqlitefile.Inode
	header string
}

func generationOf(path string) (generation, error) {
	const headerSize = 32
	file, err := openPlain(path)
	if errors.Is(err, os.ErrNotExist) {
		return generation{}, nil
	}
	if err != nil {
		return generation{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return generation{}, err
	}
	var header [headerSize]byte
	n, err := file.ReadAt(header[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return generation{}, err
	}
	g := generation{file: sqlitefile.FileOf(info).Inode}
	if n == headerSize {
		g.header = string(header[:])
	}
	return g, nil
}

// frames reports whether there may be frames.
func (g generation) frames() bool { return g.header != "" }

// still reports whether a -wal is of the same generation.
func (g generation) still(path string) (bool, error) {
	now, err := generationOf(path)
	return now == g, err
}

const copyPattern = "busbar-sessions-copy-*"

// makeDir makes a directory that only this user can enter, below base or among the temporary files, and
// removes those of processes that have died.
func (c *privateCopy) makeDir(base string) error {
	if c.dir != nil {
		return nil
	}
	if base == "" {
		base = os.TempDir()
	}
	old, _ := filepath.Glob(filepath.Join(base, copyPattern)) // the pattern is well-formed
	for _, path := range old {
		if dir, err := lockDir(path); err == nil {
			_ = os.RemoveAll(path)
			dir.Close()
		}
	}
	for {
		path, err := os.MkdirTemp(base, copyPattern)
		if err != nil {
			return fmt.Errorf("copy it to %s: %w", base, sqlitefile.Errno(err))
		}
		dir, err := lockDir(path)
		if err != nil { // another process took it for a left one
			continue
		}
		c.dir, c.path = dir, filepath.Join(path, "copy.db")
		return nil
	}
}

// lockDir locks a directory until it is closed.
func lockDir(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_, err = os.Lstat(path)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

func (c *privateCopy) close() {
	if c.pool != nil {
		c.pool.Close()
	}
	if c.dir != nil {
		_ = os.RemoveAll(c.dir.Name())
		c.dir.Close()
	}
	*c = privateCopy{buffers: c.buffers}
}
