package eventloop

import (
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// fdWatch is whether another connection can be accepted as far as the process and its host go.
// Safe from any goroutine.
type fdWatch struct {
	looked atomic.Uint32 // the last tick in which there was a look
	out    atomic.Bool   // accepting is paused for want of one
	warned atomic.Int64  // when that was last logged, in Unix seconds
	told   atomic.Bool   // it was logged this time
	again  *time.Timer   // looks every tick until there is room
}

// warnEvery is how many seconds apart warnings are. Memory for a socket may be lacking ten
// times a second, and be there in between.
const warnEvery = 60

// outOfDescriptors pauses accepting on all loops.
func (e *Engine) outOfDescriptors(what string) {
	e.acceptPauses.Each(func(g *poll.AcceptPause) { g.Pause(poll.PauseDescriptors) })
	now := time.Now().Unix()
	first := e.fdWatch.out.CompareAndSwap(false, true)
	if first && e.lifecycle.running.Load() {
		e.fdWatch.again.Reset(tick)
	}
	if first && now-e.fdWatch.warned.Load() >= warnEvery {
		e.fdWatch.warned.Store(now)
		e.fdWatch.told.Store(true)
		e.opts.Log.Warn("no room for more connections, they have to wait", "why", what, "connections", e.Connections())
	}
}

// watchDescriptors looks once in a tick, however often it is called: when a connection is accepted, since it is
// connections that have to wait, and when a loop ticks.
func (e *Engine) watchDescriptors() {
	now := uint32(time.Since(e.started)/tick) + 1
	if last := e.fdWatch.looked.Load(); last != now && e.fdWatch.looked.CompareAndSwap(last, now) {
		e.checkDescriptors()
	}
}

// watchAgain is called by the timer: nobody is accepted, and perhaps nobody there, while there is no room.
func (e *Engine) watchAgain() {
	if e.checkDescriptors(); e.fdWatch.out.Load() && !e.lifecycle.stopping.Load() {
		e.fdWatch.again.Reset(tick)
	}
}

// checkDescriptors looks. That accepting goes on again doesn't mean that the next
// accept works; when it doesn't there is another pause, which is once in a tick then.
func (e *Engine) checkDescriptors() {
	r := &e.fdWatch
	if !r.out.Load() || !poll.SpareDescriptor() {
		return
	}
	r.out.Store(false)
	e.acceptPauses.Each(func(g *poll.AcceptPause) { g.Resume(poll.PauseDescriptors) })
	if r.told.Swap(false) {
		e.opts.Log.Info("there is room for more connections again")
	}
}

// failedAccept counts what gnet's log tells, and pauses accepting when the next accept would
// fail in the same way: the connection is still in its queue, and the loop would ask for it
// again and again. checkDescriptors ends the pause.
func (e *Engine) failedAccept(args []any) {
	e.acceptErrors.Add(1)
	if err, _ := args[0].(error); poll.OutOfDescriptors(err) {
		e.outOfDescriptors(err.Error())
	}
}
