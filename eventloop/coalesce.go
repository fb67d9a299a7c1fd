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
	if l.opts.FlushDelay == 0 || l.walking {
		return false
	}
	wait := l.opts.FlushDelay - time.Since(l.coalesce.began)
	if wait <= 0 || l.coalesce.unsent == 0 || l.coalesce.unsent > l.opts.LagBytes ||
		int(l.broadcasts.end-l.flushed) > l.opts.QueueMessages/2 {
		l.mailbox.setQuiet(false)
		return false
	}
	l.mailbox.setQuiet(true)
	if l.coalesce.timer == nil {
		l.coalesce.timer = time.AfterFunc(wait, l.trigger)
	} else {
		l.coalesce.timer.Reset(wait)
	}
	return true
}

// flushBegins starts the time that the next flush is kept apart.
func (l *Loop) flushBegins() {
	if l.coalesce.unsent == 0 || l.walking {
		return
	}
	l.coalesce.unsent = 0
	if l.opts.FlushDelay > 0 {
		l.coalesce.began = time.Now()
	}
}
