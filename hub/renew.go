package hub

import (
	"context"
	"errors"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/revocations"
	"github.com/busbar-ws/busbar/wsproto"
)

// renew gives a client whose time is over what its token stands for by now, or closes it. The client
// stays open while that is looked up, for AuthTimeout and no longer: then its time is over again.
func (h *Hub) renew(c *eventloop.Client) {
	if m, ok := c.Data.(*state); ok && m.renewing {
		h.renewed(c, nil, errUndecided)
		return
	}
	token := identityOf(c).Token
	if token == "" {
		c.Close(ws.StatusPolicyViolation, "session expired", eventloop.CauseExpired)
		return
	}
	if id, known := h.opts.Auth.Cached(token); known {
		h.renewed(c, id, nil)
		return
	}
	by := time.Now().Add(h.opts.AuthTimeout)
	stateOf(c).renewing = true
	c.ExpireAt(by)
	h.askAgain(c, token, by)
}

// askAgain has the token looked up, unless that comes too late for the client.
func (h *Hub) askAgain(c *eventloop.Client, token string, by time.Time) {
	client, began := c.ID(), time.Now()
	task, err := h.queues.renewals.Go(h.ownerOf(c), taskBytes, func(ctx context.Context) {
		ctx, cancel := context.WithDeadline(ctx, by)
		defer cancel()
		if ctx.Err() != nil {
			return
		}
		id, err := h.lookUp(ctx, token)
		h.engine.Post(client, func(c *eventloop.Client) { h.renewedLate(c, token, began, by, id, err) })
	})
	if err != nil {
		h.renewed(c, nil, ErrBusy)
		return
	}
	stateOf(c).renewal = task
}

var errUndecided = errors.New("no answer in time about a session that has ended")

// renewedLate is renewed for an answer that took time, as decideLate is for decide.
func (h *Hub) renewedLate(c *eventloop.Client, token string, began, by time.Time, id *Identity, err error) {
	if err == nil && id != nil {
		switch h.revoked.Verdict(id, began) {
		case revocations.Revoked:
			id = nil
		case revocations.Unknown:
			h.askAgain(c, token, by)
			return
		}
	}
	h.renewed(c, id, err)
}

// outlasts is false for an end that has come already, whatever a wall clock says that was set
// back since.
func (id *Identity) outlasts(old *Identity) bool {
	return id.Expires.IsZero() || id.Expires.After(old.Expires)
}

func (h *Hub) renewed(c *eventloop.Client, id *Identity, err error) {
	if !c.Open() {
		return
	}
	old := identityOf(c)
	switch err = verdict(id, err); {
	case err != nil && !errors.Is(err, ErrUnauthorized):
		h.noteUnauthenticated(old.Token, err)
		c.Close(wsproto.StatusTryAgainLater, wsproto.RefuseUnverifiable.Reason, eventloop.CauseExpired)
		return
	case err != nil || !id.outlasts(old) || id.UserID != old.UserID || id.Tenant != old.Tenant || id.Admin != old.Admin:
		c.Close(ws.StatusPolicyViolation, "session expired", eventloop.CauseExpired)
		return
	}
	if m, ok := c.Data.(*state); ok {
		m.identity, m.renewing, m.renewal = id, false, nil
	} else {
		c.Data = id
	}
	c.ExpireAt(id.Expires)
}
