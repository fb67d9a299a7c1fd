package auth

import (
	"os"
	"syscall"
	"time"
)

const nonblock = syscall.O_NONBLOCK

// fileState is what the directory says about a file; its zero value is that of none.
type fileState struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // Unix nanoseconds
}

func stateOfFile(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return stateOfInfo(info)
}

func stateOfInfo(info os.FileInfo) fileState {
	st := info.Sys().(*syscall.Stat_t) // os.FileInfo's on Linux
	return fileState{dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
}

func (s fileState) sameFile(o fileState) bool {
	return s != fileState{} && s.dev == o.dev && s.ino == o.ino
}

// settled reports whether a write after now changes the state. Times of files advance in ticks of up to
// 10 ms, on some file systems of up to 2 s: there they are whole seconds.
func (s fileState) settled(now time.Time) bool {
	tick := 50 * time.Millisecond
	if s.mtime%int64(time.Second) == 0 {
		tick = 2 * time.Second
	}
	return max(s.mtime, s.ctime) < now.Add(-tick).UnixNano()
}

// state is what the directory says about a database.
type state struct {
	main, wal fileState
}

func stateOf(path string) state {
	return state{stateOfFile(path), stateOfFile(path + "-wal")}
}

func (s state) settled(now time.Time) bool { return s.main.settled(now) && s.wal.settled(now) }
