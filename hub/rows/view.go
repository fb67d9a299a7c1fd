package rows

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/ask"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// Views fetches what clients need that begin with nothing, over HTTP. Safe from any goroutine.
//
// The service takes POST {"user_id","tenant_id","is_admin"} and answers 200 with lines of JSON: {"begin":N}, the
// change events of that caller's view in rising order of seq, and {"end":N}, without which it is known to be incomplete.
// Any other answer says that it can't tell now.
type Views struct{ service *ask.Service }

// NewViews checks the options; MaxBytes bounds an event, and Timeout isn't looked at. The caller closes it.
func NewViews(o Options) (*Views, error) {
	service, err := newService(o)
	if err != nil {
		return nil, fmt.Errorf("snapshot service: %w", err)
	}
	return &Views{service}, nil
}

// Close closes idle connections. Views under way still finish.
func (v *Views) Close() error {
	v.service.Close()
	return nil
}

type viewQuestion struct {
	UserID   string `json:"user_id"`
	TenantID string `json:"tenant_id"`
	IsAdmin  bool   `json:"is_admin"`
}

// Fetch is a hub.ViewFetcher.
func (v *Views) Fetch(ctx context.Context, id *hub.Identity, to *hub.ViewWriter) error {
	a := viewAnswer{to: to}
	err := v.service.Lines(ctx, viewQuestion{id.UserID, id.Tenant, id.Admin}, a.ready, a.take)
	if err == nil && !a.ended {
		return fmt.Errorf("ask %s: line %d is the last, and it isn't the end", v.service.Name(), a.line)
	}
	return err
}

// viewAnswer is an answer that is being read.
type viewAnswer struct {
	to    *hub.ViewWriter
	seq   uint64
	begun bool
	ended bool
	line  int
}

// ready has the client given what there is while the service takes its time.
func (a *viewAnswer) ready(here bool) error {
	if here {
		return a.to.Ready()
	}
	return a.to.Flush()
}

func (a *viewAnswer) take(line []byte) error {
	a.line++
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if err := a.takeOne(line); err != nil {
		return fmt.Errorf("line %d of the snapshot service's answer: %w", a.line, err)
	}
	return nil
}

func (a *viewAnswer) takeOne(line []byte) error {
	if a.ended {
		return errors.New("it is behind the end")
	}
	if !a.begun {
		seq, found, err := markOf(line, "begin")
		switch {
		case err != nil:
			return err
		case !found:
			return errors.New(`{"begin":N} is expected`)
		}
		a.begun, a.seq = true, seq
		return a.to.Begin(seq)
	}
	switch seq, found, err := markOf(line, "end"); {
	case err != nil:
		return err
	case found && seq != a.seq:
		return fmt.Errorf("the end's seq is %d, the beginning's %d", seq, a.seq)
	case found:
		a.ended = true
		return nil
	}
	c, err := hub.DecodeChange(line)
	if err != nil {
		return err
	}
	return a.to.Write(c)
}

// markOf is the seq of a line such as {"end":7}.
func markOf(line []byte, name string) (seq uint64, found bool, err error) {
	members := strictjson.Object(line)
	m, more := members.Next()
	if !more || string(m.Key()) != name {
		return 0, false, nil
	}
	if err := m.Unmarshal(&seq); err != nil {
		return 0, true, err
	}
	if m, more = members.Next(); more {
		return 0, true, m.Unknown()
	}
	return seq, true, members.Err()
}
