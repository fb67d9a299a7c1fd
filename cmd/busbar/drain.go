package main

import (
	"context"
	"errors"
	"os"
	"time"
)

const (
	// oneSignal is how close together signals are one and the same: timeout(1) and other
	// supervisors signal the process and its group, which mustn't cut the drain short.
	oneSignal = 500 * time.Millisecond
	// answerTime is the last of -drain, or a quarter of that: whoever is closed last has so long to take what it is owed,
	// and to answer.
	answerTime = 3 * time.Second
	// hurriedTime is what clients have for that once a second signal has come.
	hurriedTime = time.Second
)

// shutdown lets go of the clients in an orderly way: after -drain-delay one after the other, within -drain. A second
// signal, oneSignal after the first, has all of those that are left closed at once.
func (srv *server) shutdown(signalled time.Time, signals <-chan os.Signal) error {
	delay, within := srv.drainTimes()
	if signalled.IsZero() { // something has failed: there is nothing to go on with
		delay = 0
	}
	ctx, cancel := drainContext(delay+within, signalled, signals)
	defer cancel()
	srv.reloading.manager.stopping(delay + within)
	srv.log.Info("draining", "clients", srv.hub.ClientCount(), "after", delay, "within", within)
	srv.hub.Unready()
	if err := srv.locked.Drain(); err != nil {
		srv.log.Warn("whoever waits for the data directory can't be told", "error", err)
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
	case <-srv.hub.Failed():
	}
	_ = srv.hub.CloseOver(ctx, within-min(answerTime, within/4))
	if errors.Is(ctx.Err(), context.Canceled) {
		srv.log.Info("hurrying: another signal came", "clients", srv.hub.ClientCount())
		var end context.CancelFunc
		ctx, end = context.WithTimeout(context.Background(), hurriedTime)
		defer end()
	}
	if srv.publishing != nil { // other nodes take it
		srv.publishing.Close(ctx)
	}
	if err := srv.hub.Drain(ctx); err != nil {
		srv.log.Warn("not every client has gone in time", "error", err)
	}
	err := srv.close()
	srv.log.Info("stopped")
	return err
}

// drainTimes are -drain-delay and -drain.
func (srv *server) drainTimes() (delay, within time.Duration) {
	srv.reloading.drains.Lock()
	defer srv.reloading.drains.Unlock()
	return srv.cfg.Drain.Delay, srv.cfg.Drain.Within
}

// drainContext ends after within, or with a signal that comes later than oneSignal after the
// one that there was at signalled; its zero value is none.
func drainContext(within time.Duration, signalled time.Time, signals <-chan os.Signal) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	go func() {
		for {
			select {
			case <-signals:
				if time.Since(signalled) >= oneSignal {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}
