package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/revocations"
	"github.com/busbar-ws/busbar/hub/internal/trouble"
	"github.com/busbar-ws/busbar/internal/fairqueue"
	"github.com/busbar-ws/busbar/wsproto"
)

// pendingUpgrade is an upgrade request that is being decided about. While its token is looked up it is its
// client's Data.
type pendingUpgrade struct {
	request *wsproto.Request
	since   uint64
	catchUp bool // since was given
	began   time.Time
	lookup  *fairqueue.Task
}

// bytes is about what it takes.
func (a *pendingUpgrade) bytes() int {
	r := a.request
	return taskBytes + len(r.Path) + len(r.Query) + len(r.Host) + len(r.Origin) + len(r.Token) + len(r.Protocol) + len(r.Answer)
}

// Upgrade decides whether a connection is let in, here when the answer is in memory and
// later when it isn't (docs/protocol.md section 1).
func (cb *callbacks) Upgrade(c *eventloop.Client, r *wsproto.Request) {
	h := (*Hub)(cb)
	if !h.Origins().Allow(r.Origin, r.Host) {
		h.noteForeignOrigin(r.Origin, time.Now())
		c.Refuse(wsproto.RefuseForbiddenOrigin)
		return
	}
	a := &pendingUpgrade{request: r, began: time.Now()}
	var err error
	if a.since, a.catchUp, err = sinceOf(r.Query); err != nil {
		c.Refuse(badQuery)
		return
	}
	if id, known := h.opts.Auth.Cached(r.Token); known {
		h.counters.auth[authCached].Add(1)
		h.decide(c, a, id, nil)
		return
	}
	h.askAbout(c, a)
}

const foreignOrigin = "a page of another origin was refused"

// noteForeignOrigin tells the operator what would allow a page that was refused.
func (h *Hub) noteForeignOrigin(origin string, now time.Time) {
	if leftOut, ok := h.trouble.Admit(foreignOrigin, now); ok {
		trouble.Tell(h.opts.Logger, slog.LevelWarn, leftOut, foreignOrigin, h.Origins().LogArgs(origin)...)
	}
}

// askAbout has the token looked up when it is the turn of the client's address.
func (h *Hub) askAbout(c *eventloop.Client, a *pendingUpgrade) {
	client, token := c.ID(), a.request.Token
	var err error
	a.lookup, err = h.queues.lookups.Go(h.ownerOf(c), a.bytes(), func(ctx context.Context) {
		id, err := h.lookUp(ctx, token)
		h.engine.Post(client, func(c *eventloop.Client) { h.decideLate(c, a, id, err) })
	})
	if err != nil {
		c.Refuse(wsproto.RefuseOverloaded)
		return
	}
	c.Data = a
}

var badQuery = &wsproto.Refusal{Status: 400, Reason: "the query is malformed, or since isn't one sequence number"}

// sinceOf reads the cursor from the upgrade's query. A cursor that is malformed must not pass for none, which
// would be a gap that nobody is told of, and neither must one that the rest of a malformed query hides. What
// else is in a query is for others: docs/protocol.md section 5. It says what url.ParseQuery would, without its map:
// strangers' queries come here, on a loop, before anybody asks who they are.
func sinceOf(query string) (since uint64, given bool, err error) {
	if strings.Contains(query, ";") || !escapesAreWhole(query) {
		return 0, false, errMalformedQuery
	}
	for pair := range strings.SplitSeq(query, "&") {
		if len(pair) < len("since") || pair[0] != 's' && pair[0] != '%' {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if !decodesTo(name, "since") {
			continue
		}
		if given {
			return 0, false, errTwoCursors
		}
		given = true
		if value, err = url.QueryUnescape(value); err == nil {
			since, err = strconv.ParseUint(value, 10, 64)
		}
		if err != nil {
			return 0, false, err
		}
	}
	return since, given, nil
}

var (
	errMalformedQuery = errors.New("the query is malformed")
	errTwoCursors     = errors.New("since is there more than once")
)

// escapesAreWhole is whether behind each % there are two hexadecimal digits.
func escapesAreWhole(s string) bool {
	for {
		_, behind, found := strings.Cut(s, "%")
		if !found {
			return true
		}
		if len(behind) < 2 || !isHex(behind[0]) || !isHex(behind[1]) {
			return false
		}
		s = behind[2:]
	}
}

// decodesTo is whether s, whose escapes are whole, is name once they are decoded.
func decodesTo(s, name string) bool {
	for i := range len(name) {
		switch {
		case s == "":
			return false
		case s[0] != '%':
			if s[0] != name[i] {
				return false
			}
			s = s[1:]
		default:
			if fromHex(s[1])<<4|fromHex(s[2]) != name[i] {
				return false
			}
			s = s[3:]
		}
	}
	return s == ""
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func fromHex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}

// decideLate is decide for an answer that took time: the identity may have been revoked
// while it was on its way.
func (h *Hub) decideLate(c *eventloop.Client, a *pendingUpgrade, id *Identity, err error) {
	c.Data = nil
	if err != nil || id == nil {
		h.decide(c, a, id, err)
		return
	}
	switch h.revoked.Verdict(id, a.began) {
	case revocations.Revoked:
		h.decide(c, a, nil, &Refusal{Cause: CauseRevoked, UserID: id.UserID})
	case revocations.Unknown: // asked often enough, this ends with the handshake's timeout
		a.began = time.Now()
		h.askAbout(c, a)
	default:
		h.counters.auth[authLookedUp].Add(1)
		h.decide(c, a, id, nil)
	}
}

func (h *Hub) decide(c *eventloop.Client, a *pendingUpgrade, id *Identity, err error) {
	if err = verdict(id, err); err != nil {
		h.reject(c, a, err)
		return
	}
	acceptance := eventloop.Acceptance{Answer: a.request.Answer, Data: id, Expires: id.Expires, Replay: a.catchUp}
	acceptance.Labels[eventloop.LabelUser] = id.UserID
	acceptance.Labels[eventloop.LabelTenant] = id.Tenant
	if a.catchUp {
		m := &state{identity: id, since: a.since, cursor: a.since, resyncs: true}
		if a.since > 0 {
			m.resume = resuming
		}
		acceptance.Data = m
		c.Accept(acceptance)
		switch {
		case !c.Open(): // it was told so
		case a.since == 0 && h.opts.Views.Fetch != nil:
			h.readView(c, m)
		default:
			h.readLog(c, m)
		}
		return
	}
	c.Accept(acceptance)
}

func (h *Hub) reject(c *eventloop.Client, a *pendingUpgrade, err error) {
	h.noteUnauthenticated(a.request.Token, err)
	code, reason, refusal := ws.StatusPolicyViolation, invalidToken, wsproto.RefuseInvalidToken
	switch {
	case !errors.Is(err, ErrUnauthorized):
		h.counters.auth[authFailed].Add(1)
		code, reason, refusal = wsproto.StatusTryAgainLater, wsproto.RefuseUnverifiable.Reason, wsproto.RefuseUnverifiable
	case errors.Is(err, reservedUserID):
		h.counters.auth[authRejected].Add(1)
		reason, refusal = wsproto.RefuseReservedUser.Reason, wsproto.RefuseReservedUser
	case a.request.Token == "":
		h.counters.auth[authRejected].Add(1)
		reason, refusal = ErrUnauthorized.Error(), wsproto.RefuseUnauthorized
	default:
		h.counters.auth[authRejected].Add(1)
	}
	if h.opts.Reject == RejectHTTP {
		c.Refuse(refusal)
		return
	}
	c.AcceptAndClose(a.request.Answer, code, reason)
}

func (id *Identity) expired() bool {
	return !id.Expires.IsZero() && !time.Now().Before(id.Expires)
}
