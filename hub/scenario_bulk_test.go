package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/coder/websocket"
)

// bulk is what of a message matters to lines about many changes.
type bulk struct {
	Seq  uint64
	Type string

	From, To uint64 // of a gap
}

// nextBulk passes over those who leave.
func (s *scenario) nextBulk(a *actor) (b bulk, err error) {
	for {
		text, err := s.nextFor(a)
		if err != nil {
			return b, err
		}
		if err := json.Unmarshal([]byte(text), &b); err != nil || b.Seq == 0 && b.To == 0 && b.Type != "presence" {
			return b, fmt.Errorf("%s got %.200s", a.name, text)
		}
		if b.Type != "presence" {
			return b, nil
		}
		b = bulk{}
	}
}

// gets changes A to B: each of them once and in order.
func (s *scenario) expectChanges(a *actor, rest string) error {
	var first, last uint64
	if _, err := fmt.Sscanf(rest, "%d to %d", &first, &last); err != nil {
		return err
	}
	for want := first; want <= last; want++ {
		b, err := s.nextBulk(a)
		if err != nil {
			return err
		}
		if b.Seq != want || b.Type != "" {
			return fmt.Errorf("%s got %+v in the place of %d", a.name, b, want)
		}
	}
	return nil
}

// reads along N changes of B bytes: no more is published than the client has got and a
// little, so that it never falls behind.
func (s *scenario) readAlong(a *actor, rest string) error {
	var n, size int
	if _, err := fmt.Sscanf(rest, "%d changes of %d bytes", &n, &size); err != nil {
		return err
	}
	const step = 50
	for ; n > 0; n -= step {
		first := s.hub.Stats().LastSeq + 1
		if err := s.publishMany(fmt.Sprintf("%d of %d bytes", step, size)); err != nil {
			return err
		}
		if err := s.expectChanges(a, fmt.Sprintf("%d to %d", first, first+step-1)); err != nil {
			return err
		}
	}
	return nil
}

// gets everything up to N or word of what is missing: a gap, which names it, and a resync; or up to a gap, ahead of
// which it is closed as too slow.
func (s *scenario) expectUpTo(a *actor, rest string) error {
	if rest == "up to a gap and is closed" {
		return s.expectEndAtGap(a)
	}
	var last uint64
	if _, err := fmt.Sscanf(rest, "up to %d or a gap and a resync", &last); err != nil {
		return err
	}
	var at uint64
	told := 0
	for at < last {
		b, err := s.nextBulk(a)
		switch {
		case err != nil:
			return fmt.Errorf("%w, behind %d", err, at)
		case b.Type == "gap":
			told++
			resync, err := s.nextBulk(a)
			if err != nil || b.From != at+1 || b.To < b.From || resync.Type != "resync" || resync.Seq != b.To {
				return fmt.Errorf("%s got %+v and %+v, %w, behind %d", a.name, b, resync, err, at)
			}
			b.Seq = b.To
		case b.Seq != at+1:
			return fmt.Errorf("%s got %d behind %d without a word", a.name, b.Seq, at)
		}
		at = b.Seq
	}
	if told == 0 {
		return fmt.Errorf("%s has lost nothing", a.name)
	}
	return nil
}

func (s *scenario) expectEndAtGap(a *actor) error {
	for at := uint64(0); ; at++ {
		switch b, err := s.nextBulk(a); {
		case websocket.CloseStatus(err) == websocket.StatusTryAgainLater, errors.Is(err, io.ErrUnexpectedEOF) && at > 0:
			return nil // without a Close where it took nothing for longer than one waits
		case err != nil:
			return fmt.Errorf("%w, behind %d", err, at)
		case b.Seq != at+1:
			return fmt.Errorf("%s got %d %q behind %d", a.name, b.Seq, b.Type, at)
		}
	}
}
