package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// session is a server with all clients connected. Owned by one goroutine.
type session struct {
	opts    Options
	apart   *namespace // of the workers; nil: this one
	server  *server
	load    *Load
	meter   *cpuMeter
	connect time.Duration
	counts  bool // the server has counted every delivery so far
}

// startSession starts the server and the workers, and connects nobody. What it returns
// must be closed.
func startSession(ctx context.Context, o Options) (s *session, err error) {
	if err := serverHolds(o.Load.Clients); err != nil {
		return nil, err
	}
	s = &session{opts: o, counts: true}
	if o.Load.Namespace {
		if s.apart, err = openNamespace(sourcesFor(o.Load.Clients)); err != nil {
			return nil, err
		}
	}
	if s.server, err = startServer(ctx, o.Target, o.Server, s.apart.host()); err != nil {
		return nil, errors.Join(err, s.apart.close())
	}
	if s.load, err = startLoad(o.Load, s.apart); err != nil {
		_ = s.server.stop()
		return nil, errors.Join(err, s.apart.close())
	}
	s.meter = newCPUMeter(s.server.pid(), o.Server, s.load.pids())
	return s, nil
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

// explained is a failure with what the server wrote, which may say why.
func (s *session) explained(failed string) string {
	if failed == "" {
		return ""
	}
	return failed + s.server.errors.suffix()
}

// close ends the connections, the server, and the network between them.
func (s *session) close() error {
	s.load.Close()
	return errors.Join(s.server.stopWith(s.opts.Load.Clients), s.apart.close())
}
