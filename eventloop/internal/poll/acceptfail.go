package poll

import (
	"errors"
	"sync/atomic"
	"time"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// acceptFailed takes the place of gnet's ErrAcceptSocket. gnet ends its engine, and every
// connection with it, when accept fails with anything but EAGAIN, EINTR, ECONNRESET and
// ECONNABORTED (v2.9.8, eventloop.accept): with EMFILE, ENFILE, ENOBUFS and ENOMEM, which
// pass, and with whatever befell the one connection that was to be accepted, which Linux
// reports here too (accept(2)). Its poller knows such a failure by
// errors.Is(err, ErrAcceptSocket); that is a variable, and errors.Is never finds an error of
// a type that can't be compared. So the poller goes on, as it does after all other errors.
//
// Other engines of gnet's in the same process survive failing accepts too, then.
type acceptFailed []struct{}

func (acceptFailed) Error() string { return "accepting a connection failed" }

// In init, because loops read the variable without a lock.
func init() { gneterrors.ErrAcceptSocket = acceptFailed{} }

// acceptFailure is the line that gnet logs, on the loop, when accept has failed; its
// argument is the error. Nothing else tells of it.
const acceptFailure = "Accept() failed due to error: %v"

// descriptors is whether another connection can be accepted as far as the process and its host go.
type descriptors struct {
	failed atomic.Uint64 // accepts
	out    atomic.Bool   // accepting is paused for want of one
	told   bool          // it was logged this time. Owned, like warned, by who has set out
	warned time.Time     // when that was last logged
}

const (
	lookAgain = 100 * time.Millisecond // for a descriptor
	// warnEvery is how far apart warnings are. Memory for a socket may be lacking ten
	// times a second, and be there in between.
	warnEvery = time.Minute
)

// acceptFailed counts what gnet's log tells, and pauses accepting when the next accept would
// fail in the same way: the connection is still in its queue, and the loop would ask for it
// again and again.
func (e *Engine) acceptFailed(args []any) {
	d := &e.descriptors
	d.failed.Add(1)
	err, _ := args[0].(error)
	if !outOfDescriptors(err) {
		return
	}
	e.eachPause(func(g *AcceptPause) { g.Pause(PauseDescriptors) })
	if !d.out.CompareAndSwap(false, true) {
		return
	}
	if d.told = time.Since(d.warned) >= warnEvery; d.told {
		d.warned = time.Now()
		e.opts.Log.Warn("no room for more connections, they have to wait", "why", err,
			"connections", e.gnet.CountConnections()-int(e.joined.Load())) // each loop has its turn besides
	}
	time.AfterFunc(lookAgain, e.acceptAgain)
}

// acceptAgain ends the pause when there is a descriptor. That doesn't mean that the
// next accept works; when it doesn't there is another pause.
func (e *Engine) acceptAgain() {
	d := &e.descriptors
	switch {
	case e.stopping.Load():
	case !spareDescriptor():
		time.AfterFunc(lookAgain, e.acceptAgain)
	default:
		if d.told {
			e.opts.Log.Info("there is room for more connections again")
		}
		d.out.Store(false) // before an accept can fail again
		e.eachPause(func(g *AcceptPause) { g.Resume(PauseDescriptors) })
	}
}

// outOfDescriptors is whether the next accept would fail as this one has.
func outOfDescriptors(err error) bool {
	for _, lasting := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
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
