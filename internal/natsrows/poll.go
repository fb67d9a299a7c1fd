package natsrows

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/internal/natsconn"
)

const (
	pollEvery    = time.Second
	releaseEvery = 10 * time.Second // how often rows are looked through for those that nobody wants any more
	checkEvery   = 30 * time.Second // how often the leader is asked for what should have come by itself
	readers      = 16               // of rows at one time
)

// poll reads what may have been missed, and lets go of what nobody wants.
func (s *Rows) poll() {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	leader, released := "", time.Now()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.poke:
		case <-ticker.C:
		}
		s.note(s.check(&leader))
		if time.Since(released) > releaseEvery {
			released = time.Now()
			s.release()
		}
	}
}

func (s *Rows) check(leader *string) error {
	if !s.conn.IsConnected() {
		return natsconn.ErrAway
	}
	had := s.known()
	info, err := s.info()
	if err == nil {
		err = s.verify(&info.State, had)
	}
	if err != nil {
		s.suspicions.Add(1) // this server may have been cut off from the leader
		return err
	}
	if info.Cluster != nil && info.Cluster.Leader != *leader {
		*leader = info.Cluster.Leader // what it stored before it was that, it didn't republish
		s.suspect()
	}
	if err := s.readAll(s.doubtful(&info.State, had.suspicions), &info.State); err != nil {
		return err
	}
	return natsconn.Unfit(info.Config, s.config())
}

func (s *Rows) info() (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(s.ctx, natsconn.RequestTimeout)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err == nil {
		err = natsconn.ByLeader(info)
	}
	return info, err
}

// doubtful are the rows that the leader is to be asked about.
func (s *Rows) doubtful(state *jetstream.StreamState, suspicions uint64) (rows []*row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.settled != suspicions
	s.settled = suspicions
	for _, r := range s.rows {
		if all {
			r.doubts = 2 // a new leader has what its predecessor had in a moment
		}
		if r.doubts > 0 || r.gone(state) || r.at != state.LastSeq && time.Since(r.checked) > checkEvery {
			rows = append(rows, r)
		}
	}
	return rows
}

func (s *Rows) readAll(rows []*row, state *jetstream.StreamState) error {
	var gone atomic.Int64
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	work := make(chan *row)
	var all sync.WaitGroup
	for range min(readers, len(rows)) {
		all.Go(func() {
			for r := range work {
				if _, err := s.fill(ctx, r); err != nil {
					cancel(err)
					continue
				}
				s.mu.Lock()
				r.doubts, r.checked, r.at = max(r.doubts-1, 0), time.Now(), state.LastSeq
				if r.gone(state) {
					gone.Add(1)
					r.snapshot = 0
					s.forget(r.entity, r.rowID)
				}
				s.mu.Unlock()
			}
		})
	}
	for _, r := range rows {
		if ctx.Err() != nil {
			break
		}
		work <- r
	}
	close(work)
	all.Wait()
	if n := gone.Load(); n > 0 {
		s.opts.Logger.Warn("the stream of rows has let go of rows that clients are subscribed to; newcomers get none of them", "rows", n)
	}
	if s.ctx.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// note keeps why rows can't be followed, and logs when that begins and ends.
func (s *Rows) note(err error) {
	if err == nil {
		if s.unwell.Swap(nil) != nil {
			s.opts.Logger.Info("rows are followed again")
		}
		return
	}
	if s.unwell.Swap(&err) == nil && s.ctx.Err() == nil {
		s.opts.Logger.Warn("rows can't be followed now", "error", err)
	}
}

// release lets go of rows that nobody wants, and of buckets without any.
func (s *Rows) release() {
	s.mu.Lock()
	rows := make([]*row, 0, len(s.rows))
	for _, r := range s.rows {
		rows = append(rows, r)
	}
	s.mu.Unlock()
	for _, r := range rows {
		s.mu.Lock()
		if !s.wanted(r.entity, r.rowID) { // whoever wants it from now on comes to Watch
			delete(s.rows, r.subject)
			s.forget(r.entity, r.rowID) // whether that is the newest is seen no more
			b := s.buckets[r.bucket]
			if b.rows--; b.rows == 0 {
				_ = b.subscription.Unsubscribe()
				delete(s.buckets, r.bucket)
			}
		}
		s.mu.Unlock()
	}
}
