package auth

import (
	"os"
	"syscall"
)

// state is what the directory says about a database file. Two states that differ mean
// that an open database may be reading the wrong file, or the right one in a wrong way.
type state struct {
	exists   bool
	dev, ino uint64
	size     int64
	mtime    int64 // Unix nanoseconds
	live     bool  // there are a -wal and a -shm: someone has it open in WAL mode
	wal      bool  // there is something in the -wal
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
	s.wal = wal.Size() > 0
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
func (db *database) moved() bool {
	now := stateOf(db.path)
	if !db.opened.sameFile(now) || db.opened.live != now.live {
		return true
	}
	return db.immutable && (db.opened.size != now.size || db.opened.mtime != now.mtime || now.wal)
}
