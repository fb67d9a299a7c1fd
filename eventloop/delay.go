package eventloop

import "time"

// delay keeps flushes apart by Options.FlushDelay. A message that comes later than that
// after the flush before it goes out at once; those that come sooner go out together when
// the time is up. Owned by its loop.
type delay struct {
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
	wait := l.opts.FlushDelay - time.Since(l.delay.began)
	if wait <= 0 || l.delay.unsent == 0 || l.delay.unsent > l.opts.LagBytes ||
		int(l.feed.end-l.flushed) > l.opts.QueueMessages/2 {
		l.mailbox.setQuiet(false)
		return false
	}
	l.mailbox.setQuiet(true)
	if l.delay.timer == nil {
		l.delay.timer = time.AfterFunc(wait, l.trigger)
	} else {
		l.delay.timer.Reset(wait)
	}
	return true
}

// flushBegins starts the time that the next flush is kept apart.
func (l *Loop) flushBegins() {
	if l.delay.unsent == 0 || l.walking {
		return
	}
	l.delay.unsent = 0
	if l.opts.FlushDelay > 0 {
		l.delay.began = time.Now()
	}
}
