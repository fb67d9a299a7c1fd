package conformance

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestConversations runs every case in every split.
func TestConversations(t *testing.T) {
	t.Parallel()
	servers := &pool{t: t, daemons: make(map[string]*daemon)}
	help := daemonHelp(t)
	for _, f := range families() {
		t.Run(f.name, func(t *testing.T) {
			if !f.hasServer(help) {
				t.Fatalf("this daemon has no %s", f.needs)
			}
			t.Parallel()
			f.run(t, servers)
		})
	}
}

// run tries the cases some at a time: most of the time of each is the wait for the server.
// It gives up when many have failed: one mistake of the server's may make all of them wait.
func (f family) run(t *testing.T, servers *pool) {
	const enough = 10
	places := make(chan struct{}, 4)
	var failures atomic.Int32
	var all sync.WaitGroup
	defer all.Wait()
	for _, c := range f.cases {
		if failures.Load() >= enough {
			t.Errorf("%d failures; the cases from %q on are left out", failures.Load(), c.name)
			break
		}
		d := servers.get(c.args)
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			for _, s := range splits(c.name, c.large) {
				if err := c.run(t, d, s); err != nil {
					t.Errorf("%s (section %s), %s: %v", c.name, c.rfc, s.name, err)
					failures.Add(1)
				}
			}
		})
	}
}

// run has one conversation.
func (c *conversation) run(t *testing.T, d *daemon, s split) error {
	peer, err := connect(t, d.addr)
	if err != nil {
		return err
	}
	defer peer.close()
	request := upgradeRequest()
	if c.extensions != "" {
		request = upgradeRequest("Sec-WebSocket-Extensions: " + c.extensions)
	}
	pieces := s.cut(c.send)
	if s.early {
		pieces = []string{request + c.send}
	} else if err := peer.upgrade(request, c.agreed); err != nil {
		return err
	}
	written := make(chan error, 1)
	go func() { written <- peer.write(pieces) }()
	if s.early {
		if err := peer.readUpgrade(c.agreed); err != nil {
			return errors.Join(err, stopWriting(peer, written))
		}
	}
	if err := c.answered(peer); err != nil {
		return errors.Join(err, stopWriting(peer, written))
	}
	if err := <-written; err != nil || c.code != 0 {
		return err
	}
	return peer.leave(c.agreed != "")
}

// stopWriting ends the writer of a conversation that went wrong, which may be waiting.
func stopWriting(peer *client, written <-chan error) error {
	peer.Close()
	<-written
	return nil
}

func (c *client) upgrade(request, agreed string) error {
	if err := c.write([]string{request}); err != nil {
		return err
	}
	return c.readUpgrade(agreed)
}

// answered reads all that has to come while and after the client sends.
func (c *conversation) answered(peer *client) error {
	if err := peer.expect(c.want, c.agreed != ""); err != nil || c.code == 0 {
		return err
	}
	return peer.expectClose(c.code, c.dropped)
}

// leave shows that the connection is as good as new: nothing has come that nobody asked for,
// a ping is answered, and so is a Close.
func (c *client) leave(compression bool) error {
	if err := c.write([]string{ping("still there?")}); err != nil {
		return err
	}
	if err := c.expect([]frame{gotPong("still there?")}, compression); err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	if err := c.write([]string{closing(1000, "")}); err != nil {
		return err
	}
	return c.expectClose(1000, false)
}
