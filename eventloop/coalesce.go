package eventloop

import "time"

// coalesce keeps flushes apart by Options.FlushDelay. A message that comes later than that
// after the flush before it goes out at once; those that come sooner go out together when
// the time is up. Owned by its loop.
type coalesce struct {
	began  time.Time   // of the last flush
	timer  *time.Timer // wakes the loop when the next may begin
	unsent int         // bytes that have become due since the last flush, each client's own counted apart
}

// tooSoon is whether the flush that is due has to wait. It isn't made to when much has
// come: what waits here must not make a client look slow.
func (l *Loop) tooSoon() bool {
	if l.opts.FlushDelay == 0 || l.fanout.flushing {
		return false
	}
	wait := l.opts.FlushDelay - time.Since(l.fanout.coalesce.began)
	if wait <= 0 || l.fanout.coalesce.unsent == 0 || l.fanout.coalesce.unsent > l.opts.Slow.LagBytes ||
		int(l.broadcasts.End()-l.fanout.flushed) > l.opts.Memory.QueueMessages/2 {
		l.mailbox.SetQuiet(false)
		return false
	}
	l.mailbox.SetQuiet(true)
	if l.fanout.coalesce.timer == nil {
		l.fanout.coalesce.timer = time.AfterFunc(wait, l.trigger)
	} else {
		l.fanout.coalesce.timer.Reset(wait)
	}
	return true
}

// flushBegins starts the time that the next flush is kept apart.
func (l *Loop) flushBegins() {
	if l.fanout.coalesce.unsent == 0 || l.fanout.flushing {
		return
	}
	l.fanout.coalesce.unsent = 0
	if l.opts.FlushDelay > 0 {
		l.fanout.coalesce.began = time.Now()
	}
}
