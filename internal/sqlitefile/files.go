package sqlitefile

import (
	"os"
	"syscall"
	"time"
)

// File is what the directory says about a file; its zero value is that of none.
type File struct {
	Inode
	size         int64
	mtime, ctime int64 // Unix nanoseconds
}

// Inode is a file's identity for as long as somebody has it open; its zero value is that of none.
type Inode struct {
	dev, ino uint64
}

// FileAt asks for the file at path.
func FileAt(path string) File {
	info, err := os.Stat(path)
	if err != nil {
		return File{}
	}
	return FileOf(info)
}

// FileOf has it from os.Stat.
func FileOf(info os.FileInfo) File {
	st := info.Sys().(*syscall.Stat_t) // os.FileInfo's on Linux
	return File{Inode: Inode{uint64(st.Dev), st.Ino}, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
}

// Same is whether both are there and one file, whatever was written to it.
func (f File) Same(o File) bool {
	return f != File{} && f.Inode == o.Inode
}

// Unwritten is whether both are there and one file that nobody has written to in between.
func (f File) Unwritten(o File) bool {
	return f.Same(o) && f.size == o.size && f.mtime == o.mtime
}

// Settled reports whether a write after now changes what the directory says. Times of files advance in ticks of up
// to 10 ms, on some file systems of up to 2 s: there they are whole seconds.
func (f File) Settled(now time.Time) bool {
	tick := 50 * time.Millisecond
	if f.mtime%int64(time.Second) == 0 {
		tick = 2 * time.Second
	}
	return max(f.mtime, f.ctime) < now.Add(-tick).UnixNano()
}

// Files are what the directory says about a database.
type Files struct {
	Main, WAL File
}

// FilesAt asks for the database at path.
func FilesAt(path string) Files {
	return Files{FileAt(path), FileAt(path + "-wal")}
}

// Settled is that of both.
func (f Files) Settled(now time.Time) bool { return f.Main.Settled(now) && f.WAL.Settled(now) }

// MovedFrom reports whether the files that a database was opened with aren't what is at its path any more: it, or
// its -wal, is gone or another. Whoever has it open reads and writes what nobody else can find then.
func (f Files) MovedFrom(path string) bool {
	now := FilesAt(path)
	return !f.Main.Same(now.Main) || f.WAL != now.WAL && !f.WAL.Same(now.WAL)
}

// Index is what the -shm of a database says about its -wal: it changes with each commit and each checkpoint, whoever
// makes it, and not with what others read (https://www.sqlite.org/walformat.html#the_wal_index_file_format). It is all
// zero without one.
func Index(path string) (index [100]byte) {
	if f, err := os.Open(path + "-shm"); err == nil {
		_, _ = f.ReadAt(index[:], 0)
		f.Close()
	}
	return index
}

// Opened are the files of a database that has just been opened, which before were those at its path.
func Opened(path string, before Files) (Files, error) {
	f := Files{before.Main, FileAt(path + "-wal")} // which the opening may have made
	if f.MovedFrom(path) {
		return Files{}, ErrMoved
	}
	return f, nil
}
