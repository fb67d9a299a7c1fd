package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
)

// stageLines are what a scenario's lines about the hub do, by their first word.
var stageLines = map[string]func(s *scenario, rest string) error{
	"connect": (*scenario).connect,
	"publish": (*scenario).publish,
	"send":    (*scenario).sendBinary,
	"fetch":   (*scenario).fetch,
	"revoke":  (*scenario).revoke,
	"denied": func(s *scenario, n string) error {
		return s.count(n, func() int { return int(s.hub.Stats().RowsDenied) })
	},
	"ignored": func(s *scenario, rest string) error {
		reason, n, _ := strings.Cut(rest, " ")
		return s.count(n, func() int { return int(s.hub.Stats().Ignored[reason]) })
	},
	"resumes": func(s *scenario, rest string) error {
		outcome, n, _ := strings.Cut(rest, " ")
		return s.count(n, func() int { return int(s.hub.Stats().Resumes[outcome]) })
	},
	"subscriptions": func(s *scenario, n string) error { return s.count(n, s.hub.SubscriptionCount) },
	"clients":       func(s *scenario, n string) error { return s.count(n, s.hub.ClientCount) },
}

var hubSettings = map[string]func(s *scenario, o *Options, value string) error{
	"routing": func(_ *scenario, o *Options, v string) error {
		o.Routing = map[string]Routing{"all": RouteAll, "subscribed": RouteSubscribed}[v]
		return nil
	},
	"relays": func(_ *scenario, o *Options, v string) error {
		o.Relays = map[string]Relays{"tenant": RelayTenant, "all": RelayAll, "off": RelayOff}[v]
		return nil
	},
	"slow": func(_ *scenario, o *Options, v string) error {
		o.Loops.Slow.Policy = map[string]eventloop.SlowPolicy{"disconnect": eventloop.Disconnect, "drop-oldest": eventloop.DropOldest, "catch-up": eventloop.CatchUp}[v]
		return nil
	},
	"snapshots": func(s *scenario, o *Options, _ string) error {
		o.Rows.Fetch = s.fetchLater
		return nil
	},
	"lag-bytes": func(_ *scenario, o *Options, v string) (err error) {
		o.Loops.Slow.LagBytes, err = strconv.Atoi(v)
		return err
	},
	"queue": func(_ *scenario, o *Options, v string) (err error) {
		o.Loops.Memory.QueueMessages, err = strconv.Atoi(v)
		return err
	},
	"max-events": func(_ *scenario, o *Options, v string) error {
		n, err := strconv.Atoi(v)
		o.Log = NewMemoryLog(n, 0)
		return err
	},
	"burst": func(_ *scenario, o *Options, v string) (err error) {
		o.Rates.Relays.PerSecond = 1e-9 // nothing comes back while the scenario runs
		o.Rates.Relays.Burst, err = strconv.ParseFloat(v, 64)
		return err
	},
}

func (s *scenario) startHub(settings []string) error {
	var failed error
	s.hub = start(s.t, func(o *Options) {
		o.Rates.Relays.PerSecond = -1
		o.Loops.SendBuffer = 16 << 10
		o.Loops.Slow.LagTime = time.Hour
		o.Logger = slog.New(slog.DiscardHandler)
		for _, setting := range settings {
			name, value, _ := strings.Cut(setting, "=")
			set := hubSettings[name]
			if set == nil {
				failed = fmt.Errorf("the hub has no setting %q", name)
				return
			}
			if failed = set(s, o, value); failed != nil {
				return
			}
		}
	})
	return failed
}

// connect NAME TOKEN [since=N] [with a small buffer]
func (s *scenario) connect(rest string) error {
	words := strings.Fields(rest)
	if len(words) < 2 {
		return fmt.Errorf("connect whom with which token?")
	}
	query := ""
	if len(words) > 2 && strings.HasPrefix(words[2], "since=") {
		query = "?" + words[2]
	}
	o := &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + words[1]}}}
	if strings.HasSuffix(rest, "with a small buffer") {
		o.HTTPClient = smallReceiver(s.t)
	}
	conn, _, err := dialWith(s.t, s.hub, query, o)
	if err != nil {
		return err
	}
	a := &actor{listener: listenOn(s.t, conn), name: words[0], api: s.api}
	all, err := s.hub.Clients(context.Background(), 0, 1000)
	if err != nil {
		return err
	}
	for _, info := range all {
		known := func(b *actor) bool { return b.id == info.ID }
		if user, _, _ := strings.Cut(words[1], "@"); !slices.ContainsFunc(s.actors(), known) && (info.UserID == user || info.Admin) {
			a.id = info.ID
		}
	}
	s.clients[a.name] = a
	return nil
}

func (s *scenario) actors() (all []*actor) {
	for _, a := range s.clients {
		all = append(all, a)
	}
	return all
}

// send "bytes" to NAME…
func (s *scenario) sendBinary(rest string) error {
	payload, to, err := quoted(rest)
	if err != nil {
		return err
	}
	var ids []uint64
	for _, name := range strings.Fields(strings.TrimPrefix(to, "to ")) {
		ids = append(ids, s.clients[name].id)
	}
	return s.hub.SendBinary([]byte(payload), ids...)
}

// revoke NAME…: all at once, as one session would be.
func (s *scenario) revoke(rest string) error {
	users := strings.Fields(rest)
	s.hub.CloseIdentity(func(id *Identity) bool { return slices.Contains(users, id.UserID) }, "session revoked")
	return nil
}

// count waits until the hub has so many.
func (s *scenario) count(want string, have func() int) error {
	n, err := strconv.Atoi(want)
	if err != nil {
		return err
	}
	if !comesTrue(func() bool { return have() == n }) {
		return fmt.Errorf("there are %d, not %d", have(), n)
	}
	return nil
}

// quoted takes a Go string literal off the front of text.
func quoted(text string) (value, rest string, err error) {
	literal, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", fmt.Errorf("no quoted string at %q", text)
	}
	value, err = strconv.Unquote(literal)
	return value, strings.TrimSpace(text[len(literal):]), err
}

// change decodes a change as a publisher writes it over HTTP.
func change(text string) (c Change, err error) {
	err = json.Unmarshal([]byte(text), &c)
	return c, err
}
