package eventloop

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// room is whether another connection can be accepted as far as the process and its host go.
// Safe from any goroutine.
type room struct {
	looked atomic.Uint32 // the last tick in which there was a look
	mu     sync.Mutex    // guards files
	out    atomic.Bool   // the gates are shut for want of room
	warned atomic.Int64  // when that was last logged, in Unix seconds
	told   atomic.Bool   // it was logged this time
	files  fileTable
	again  *time.Timer // looks every tick until there is room
}

// warnEvery is how many seconds apart warnings are. Memory for a socket may be lacking ten
// times a second, and be there in between.
const warnEvery = 60

// outOfRoom shuts all gates.
func (e *Engine) outOfRoom(what string) {
	e.gates.each(func(g *gate) { g.shut(shutRoom) })
	now := time.Now().Unix()
	first := e.room.out.CompareAndSwap(false, true)
	if first && e.running.Load() {
		e.room.again.Reset(tick)
	}
	if first && now-e.room.warned.Load() >= warnEvery {
		e.room.warned.Store(now)
		e.room.told.Store(true)
		e.opts.Log.Warn("no room for more connections, they have to wait", "why", what, "connections", e.Connections())
	}
}

// lookForRoom looks once in a tick, however often it is called: when a connection is accepted, since it is
// connections that have to wait, and when a loop ticks.
func (e *Engine) lookForRoom() {
	now := uint32(time.Since(e.started)/tick) + 1
	if last := e.room.looked.Load(); last != now && e.room.looked.CompareAndSwap(last, now) {
		e.checkRoom()
	}
}

// lookAgain is called by the timer: nobody is accepted, and perhaps nobody there, while there is no room.
func (e *Engine) lookAgain() {
	if e.checkRoom(); e.room.out.Load() && !e.asked.Load() {
		e.room.again.Reset(tick)
	}
}

// checkRoom looks. That the gates are open again doesn't mean that the next
// accept works; when it doesn't they are shut again, which is once in a tick then.
func (e *Engine) checkRoom() {
	r := &e.room
	r.mu.Lock()
	full := r.files.full(r.out.Load())
	r.mu.Unlock()
	if full {
		e.outOfRoom("the host's file table is nearly full (fs.file-max)")
	}
	if full || !r.out.Load() || !spareDescriptor() {
		return
	}
	r.out.Store(false)
	e.gates.each(func(g *gate) { g.open(shutRoom) })
	if r.told.Swap(false) {
		e.opts.Log.Info("there is room for more connections again")
	}
}

// spareDescriptor is whether the process gets a descriptor and the kernel memory of one.
func spareDescriptor() bool {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// fileTable watches how many files the whole host has open. At fs.file-max every open, every
// accept and every socket of every process fails with ENFILE, but for those with
// CAP_SYS_ADMIN (fs/file_table.c, alloc_empty_file). Connections are what can wait; so
// newcomers do, before it comes to that, whoever this process runs as: who may go past the
// limit shouldn't take what is left from those who mayn't.
type fileTable struct {
	read func(p []byte) (int, error) // the kernel's figures; nil: can't be read
	text [96]byte
	fd   int
}

func (t *fileTable) open() {
	if t.read != nil {
		return
	}
	if fd, err := unix.Open("/proc/sys/fs/file-nr", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		t.fd, t.read = fd, func(p []byte) (int, error) { return unix.Pread(fd, p, 0) }
	}
}

// close is called at the engine's end. Nothing is full from then on.
func (t *fileTable) close() {
	if t.fd > 0 {
		unix.Close(t.fd)
		t.fd, t.read = 0, nil
	}
}

// margin is how far below fs.file-max the gates are shut. A 64th of it is what others may
// open from one look to the next, 100 ms later: 26,000 files on a host with 16 GiB and 156 on
// one with 100 MB. And the count may be off by what each CPU keeps to itself, 32 or twice
// the number of CPUs (lib/percpu_counter.c), for which there is double. Never more than an
// eighth, so that a table that is small on purpose can be used.
func margin(most uint64, cpus int) uint64 {
	perCPU := max(32, 2*cpus)
	return min(most/64+uint64(2*perCPU*cpus), most/8)
}

// full is whether newcomers have to wait; waiting is whether they do already, which they
// then go on with until there is half as much room again.
func (t *fileTable) full(waiting bool) bool {
	used, most, ok := t.count()
	if !ok {
		return false
	}
	left := margin(most, runtime.NumCPU())
	if waiting {
		left += left / 2
	}
	return used+left > most
}

// count reads "used unused most". The second has been 0 since Linux 2.6.
func (t *fileTable) count() (used, most uint64, ok bool) {
	if t.read == nil {
		return 0, 0, false
	}
	n, err := t.read(t.text[:])
	if err != nil {
		return 0, 0, false
	}
	var numbers [3]uint64
	i := 0
	for at, b := range t.text[:n] {
		switch {
		case b >= '0' && b <= '9':
			numbers[i] = numbers[i]*10 + uint64(b-'0')
		case at > 0 && i < 2 && t.text[at-1] >= '0' && t.text[at-1] <= '9':
			i++
		}
	}
	return numbers[0], numbers[2], i == 2 && numbers[2] > 0
}
