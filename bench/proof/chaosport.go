package proof

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// floods is more connections than the API takes at a time.
const floods = 700

// port takes the API's port away: at the start, and by more connections than it takes.
func (o *ChaosOptions) port(ctx context.Context, r *Record) error {
	return o.onStage(ctx, nil, func(ctx context.Context, s *stage) error {
		if err := s.secondOnPort(ctx, r); err != nil {
			return err
		}
		if err := s.alive(ctx); err != nil {
			return err
		}
		return s.flood(ctx, r)
	})
}

// secondOnPort starts another daemon with the same API port.
func (s *stage) secondOnPort(ctx context.Context, r *Record) error {
	other, err := newDaemon(s.program, filepath.Join(filepath.Dir(s.dir), "other"))
	if err != nil {
		return err
	}
	other.api = s.api
	start := time.Now()
	if err := other.launch(); err != nil {
		return err
	}
	select {
	case <-other.exited:
	case <-time.After(patience):
		other.kill()
		return wronged("it serves without its API port%s", other.log)
	}
	if code := other.cmd.ProcessState.ExitCode(); code != 1 || !other.log.has("-api "+s.api) || !other.log.has("address already in use") {
		return wronged("a taken API port: exit code %d%s", code, other.log)
	}
	r.fact("port taken: exit code 1 after %v, and a line that names -api, the address and why", time.Since(start).Round(time.Millisecond))
	other.api = "127.0.0.1:0"
	if err := other.launch(); err != nil { // its WebSocket port is free again
		return err
	}
	defer other.kill()
	conn, err := dialSoon(ctx, other.ws)
	if err != nil {
		return fmt.Errorf("starting on the ports that failed before: %w%s", err, other.log)
	}
	return conn.Close()
}

func dialSoon(ctx context.Context, address string) (conn net.Conn, err error) {
	for late := time.Now().Add(patience); time.Now().Before(late) && pause(ctx, 10*time.Millisecond); {
		if conn, err = net.Dial("tcp", address); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// flood holds all connections that the API takes, and more. Messages of clients to clients don't
// need it.
func (s *stage) flood(ctx context.Context, r *Record) error {
	s.http.CloseIdleConnections()
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for range floods {
		c, err := net.DialTimeout("tcp", s.api, patience)
		if err != nil {
			break // its backlog is full
		}
		held = append(held, c)
	}
	if len(held) < floods/2 {
		return fmt.Errorf("flooding the API: %d connections only", len(held))
	}
	start := time.Now()
	for i := range 20 {
		at := i % len(s.peers)
		if err := s.relayOnce(s.peers[at], s.slots[at], 100); err != nil {
			return fmt.Errorf("relaying while the API is flooded: %w", err)
		}
	}
	if err := s.together((*peer).catchUp); err != nil {
		return err
	}
	fresh, err := s.connect(ctx, s.slots[0], 0, 0)
	if err != nil {
		return fmt.Errorf("connecting while the API is flooded: %w", err)
	}
	fresh.gone()
	r.fact("%d connections to the API: 20 relays reached all within %v", len(held), time.Since(start).Round(time.Millisecond))
	for _, c := range held {
		c.Close()
	}
	held = nil
	return within(patience, "the first call after the flood", func() error { return s.alive(ctx) })
}
