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

// MovedFrom reports whether the files that a database was opened with aren't what is at its path now: it, or its -wal,
// is gone or another. Whoever has it open reads and writes what nobody else can find then.
func (f Files) MovedFrom(now Files) bool {
	return !f.Main.Same(now.Main) || f.WAL != now.WAL && !f.WAL.Same(now.WAL)
}

// Index is the -shm of a database that SQLite has open in this process. It must be closed after SQLite's last
// connection: closing any descriptor of a file drops all POSIX locks that the process holds on it (fcntl(2)), and
// who opens the database next takes its -shm for nobody's, and truncates it.
type Index struct{ file *os.File }

// OpenIndex opens that of the database at path.
func OpenIndex(path string) (*Index, error) {
	f, err := os.Open(path + "-shm")
	if err != nil {
		return nil, err
	}
	return &Index{f}, nil
}

// Read is what it says about the -wal: it changes with each commit and each checkpoint, whoever makes it, and not with
// what others read (https://www.sqlite.org/walformat.html#the_wal_index_file_format).
func (i *Index) Read() (index [100]byte, err error) {
	_, err = i.file.ReadAt(index[:], 0)
	return index, err
}

// Close is called once.
func (i *Index) Close() error { return i.file.Close() }

// Opened are the files of a database that has just been opened, which before were those at its path.
func Opened(path string, before Files) (Files, error) {
	f := Files{before.Main, FileAt(path + "-wal")} // which the opening may have made
	if f.MovedFrom(FilesAt(path)) {
		return Files{}, ErrMoved
	}
	return f, nil
}
