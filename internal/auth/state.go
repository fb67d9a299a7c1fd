package auth

import (
	"os"
	"syscall"
	"time"
)

// state is what the directory says about a database file. Two states that differ mean
// that an open database may be reading the wrong file, or the right one in a wrong way.
type state struct {
	exists   bool
	dev, ino uint64
	size     int64
	mtime    int64 // Unix nanoseconds
	live     bool  // there are a -wal and a -shm: someone has it open in WAL mode
	walSize  int64 // of the -wal, 0 when there is none
	walMtime int64
}

func stateOf(path string) state {
	var s state
	info, err := os.Stat(path)
	if err != nil {
		return s
	}
	s.exists, s.size, s.mtime = true, info.Size(), info.ModTime().UnixNano()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = uint64(st.Dev), st.Ino
	}
	wal, err := os.Stat(path + "-wal")
	if err != nil {
		return s
	}
	s.walSize, s.walMtime = wal.Size(), wal.ModTime().UnixNano()
	_, err = os.Stat(path + "-shm")
	s.live = err == nil
	return s
}

func (s state) sameFile(o state) bool {
	return s.exists && o.exists && s.dev == o.dev && s.ino == o.ino
}

// moved reports whether the file has to be opened anew: it is gone or another, or its
// way of being written has changed. SQLite looks at nothing of an immutable file twice,
// so for one any change counts.
func (db *database) moved(now state) bool {
	if !db.opened.sameFile(now) || db.opened.live != now.live {
		return true
	}
	return db.immutable && (db.opened.size != now.size || db.opened.mtime != now.mtime || now.walSize > 0)
}

// version tells what is in the file from what was there before.
type version struct {
	data                           int64 // PRAGMA data_version, of our own file
	size, mtime, walSize, walMtime int64 // of a foreign one
}

func (s state) version() version {
	return version{size: s.size, mtime: s.mtime, walSize: s.walSize, walMtime: s.walMtime}
}

// mayChangeUnseen reports that a further write may leave the same times behind: those of
// files are as coarse as 2 s on some file systems.
func (v version) mayChangeUnseen(now time.Time) bool {
	const coarse = 2 * time.Second
	return now.Add(-coarse).UnixNano() < max(v.mtime, v.walMtime) && max(v.mtime, v.walMtime) < now.Add(coarse).UnixNano()
}
