package bench

import (
	"context"
	"fmt"
	"time"
)

// session is a server with all clients connected. Owned by one goroutine.
type session struct {
	opts    Options
	server  *server
	load    *Load
	meter   *cpuMeter
	connect time.Duration
	counts  bool // the server has counted every delivery so far
}

// startSession starts the server and the workers, and connects nobody. What it returns
// must be closed.
func startSession(ctx context.Context, o Options) (*session, error) {
	srv, err := startServer(ctx, o.Target, o.Server)
	if err != nil {
		return nil, err
	}
	load, err := StartLoad(o.Load)
	if err != nil {
		_ = srv.stop()
		return nil, err
	}
	return &session{opts: o, server: srv, load: load, meter: newCPUMeter(srv.pid(), o.Server), counts: true}, nil
}

// connectAll connects all clients and waits until the server counts them.
func (s *session) connectAll(ctx context.Context) error {
	of := int64(s.opts.Load.Clients)
	var err error
	s.connect, err = s.load.Connect(ctx, s.server.address, func(n int) { s.opts.Progress("connecting", int64(n), of) })
	if err != nil {
		return fmt.Errorf("%s: %w%s", s.opts.Target.Name, err, s.server.errors.suffix())
	}
	return s.server.awaitClients(ctx, s.opts.Load.Clients)
}

func (s *session) publisher(sizes Mixture) *publisher {
	return &publisher{
		control: s.server.control, load: s.load, sizes: sizes, stall: s.opts.Stall,
		progress: func(uint64) {}, late: newHistogram(),
		add:  func(seq uint64) []byte { return s.server.control.add(sizes.of(seq)) },
		done: s.load.Done,
	}
}

// close ends the connections and the server.
func (s *session) close() error {
	s.load.Close()
	return s.server.stopWith(s.opts.Load.Clients)
}
