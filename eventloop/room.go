package eventloop

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// room is whether another connection can be accepted as far as the process and its host go.
// Safe from any goroutine.
type room struct {
	looked atomic.Uint32 // the last tick in which there was a look
	out    atomic.Bool   // the gates are shut for want of room
	warned atomic.Int64  // when that was last logged, in Unix seconds
	told   atomic.Bool   // it was logged this time
	again  *time.Timer   // looks every tick until there is room
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
	if !r.out.Load() || !spareDescriptor() {
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
