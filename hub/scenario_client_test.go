package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// actorLines are what a client does, by what stands behind its name.
var actorLines = map[string]func(s *scenario, a *actor, rest string) error{
	"sends":           func(s *scenario, a *actor, text string) error { return a.say(s.withIDs(text)) },
	"subscribes":      func(_ *scenario, a *actor, to string) error { return a.ask("subscribe", to) },
	"unsubscribes":    func(_ *scenario, a *actor, from string) error { return a.ask("unsubscribe", from) },
	"gets":            func(s *scenario, a *actor, rest string) error { return s.expect(a, rest) },
	"gets nothing":    func(s *scenario, a *actor, _ string) error { return s.expectNothing(a) },
	"gets leaves of":  func(s *scenario, a *actor, names string) error { return s.expectLeaves(a, strings.Fields(names)) },
	"gets changes":    func(s *scenario, a *actor, rest string) error { return s.expectChanges(a, rest) },
	"reads along":     func(s *scenario, a *actor, rest string) error { return s.readAlong(a, rest) },
	"is closed":       func(_ *scenario, a *actor, rest string) error { return a.expectClosed(rest) },
	"closes":          func(_ *scenario, a *actor, code string) error { return a.close(code) },
	"stops reading":   func(_ *scenario, a *actor, _ string) error { a.gate <- struct{}{}; return nil },
	"reads on":        func(_ *scenario, a *actor, _ string) error { <-a.gate; return nil },
	"breaks off":      func(_ *scenario, a *actor, _ string) error { return a.CloseNow() },
	"sends binary":    func(_ *scenario, a *actor, rest string) error { return a.sayBinary(rest) },
	"gets everything": func(s *scenario, a *actor, rest string) error { return s.expectUpTo(a, rest) },
}

func (a *actor) say(text string) error {
	if err := a.Write(within(a.T), websocket.MessageText, []byte(text)); err != nil {
		return err
	}
	return a.settle()
}

func (a *actor) sayBinary(text string) error {
	payload, _, err := quoted(text)
	if err != nil {
		return err
	}
	if err := a.Write(within(a.T), websocket.MessageBinary, []byte(payload)); err != nil {
		return err
	}
	return a.settle()
}

// ask is for "row ENTITY/ROW", "topic NAME" and "entity NAME".
func (a *actor) ask(verb, about string) error {
	what, name, _ := strings.Cut(about, " ")
	if what != "row" {
		return a.say(fmt.Sprintf(`{"type":%q,%q:%q}`, verb, what, name))
	}
	entity, row, _ := strings.Cut(name, "/")
	return a.say(fmt.Sprintf(`{"type":"crdt-%s","entity":%q,"rowId":%q}`, verb, entity, row))
}

func (s *scenario) expect(a *actor, want string) error {
	got, err := s.nextFor(a)
	if err != nil {
		return err
	}
	want = s.withIDs(want)
	if got != want && !sameJSON(got, want) {
		return fmt.Errorf("%s got %s", a.name, got)
	}
	return nil
}

// nextFor passes over the markers that were for others.
func (s *scenario) nextFor(a *actor) (string, error) {
	for {
		m, err := a.receive()
		if err != nil || !strings.HasPrefix(string(m.data), markerPrefix) {
			return m.String(), err
		}
	}
}

const markerPrefix = "\x00marker "

// expectNothing publishes something, which must be what the client gets next.
func (s *scenario) expectNothing(a *actor) error {
	s.markers++
	marker := markerPrefix + strconv.Itoa(s.markers)
	if err := s.hub.BroadcastBinary([]byte(marker)); err != nil {
		return err
	}
	for {
		m, err := a.receive()
		switch {
		case err != nil:
			return err
		case string(m.data) == marker:
			return nil
		case !strings.HasPrefix(string(m.data), markerPrefix):
			return fmt.Errorf("%s got %s", a.name, m)
		}
	}
}

// expectLeaves takes one message or several: how many of those that leave at once are
// merged is a matter of time.
func (s *scenario) expectLeaves(a *actor, names []string) error {
	missing := make(map[uint64]bool)
	for _, name := range names {
		missing[s.clients[name].id] = true
	}
	for len(missing) > 0 {
		text, err := s.nextFor(a)
		if err != nil {
			return fmt.Errorf("%w; still missing are %v", err, slices.Collect(maps.Keys(missing)))
		}
		ids, err := leavesOf(text)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !missing[id] {
				return fmt.Errorf("%s is told that %d has left: %s", a.name, id, text)
			}
			delete(missing, id)
		}
	}
	return nil
}

// leavesOf decodes what tells that clients have left (docs/protocol.md section 3).
func leavesOf(text string) ([]uint64, error) {
	var m struct {
		Type, Event string
		ClientID    uint64
		ClientIDs   []uint64
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil || m.Type != "presence" || m.Event != "disconnect" {
		return nil, fmt.Errorf("not about leaving: %s", text)
	}
	if m.ClientIDs == nil {
		return []uint64{m.ClientID}, nil
	}
	if len(m.ClientIDs) < 2 || m.ClientIDs[0] != m.ClientID {
		return nil, fmt.Errorf("the merged message is malformed: %s", text)
	}
	return m.ClientIDs, nil
}

func (a *actor) expectClosed(want string) error {
	_, err := a.receive()
	for err == nil {
		_, err = a.receive()
	}
	var closed websocket.CloseError
	if !errors.As(err, &closed) {
		return err
	}
	if got := fmt.Sprintf("%d %q", closed.Code, closed.Reason); got != want {
		return fmt.Errorf("%s was closed %s", a.name, got)
	}
	return nil
}

func (a *actor) close(code string) error {
	n, err := strconv.Atoi(code)
	if err != nil {
		return err
	}
	return a.Close(websocket.StatusCode(n), "")
}

// smallReceiver dials with a small receive buffer, so that a client that stops reading
// stalls after some ten kilobytes rather than after megabytes.
func smallReceiver(t *testing.T) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(16 << 10)
		}
		return conn, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
