// Package httpapi is Busbar's HTTP side: publishing, pulling, sessions, numbers and
// probes. It turns requests into calls of a hub.Hub and their results into JSON,
// and holds no state of its own besides counters.
package httpapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/busbar-ws/busbar/clients/js"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/hub/metrics"
	"github.com/busbar-ws/busbar/internal/dashboard"
	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/internal/panics"
)

// Options says what the API offers besides the hub. New copies it.
type Options struct {
	// Sessions creates and revokes sessions. Nil when tokens aren't sessions (-auth
	// other than "sessions"): the calls about sessions then answer 409 SESSIONS_DISABLED.
	Sessions *auth.Sessions

	// Guests lets anybody create a session for a new guest id. How long it lasts is the
	// session store's option.
	Guests bool
	// GuestRate is how many guests a second are created at most, all callers together,
	// since each is a row in the session store. Zero: 100. A burst may be ten times that.
	GuestRate float64

	// MayPublish says which tokens may publish though they are no admin's. It is asked about tokens that are good for
	// their user, in each call that publishes. Nil: none may.
	MayPublish func(token string) bool

	// MaxBody is the largest request body in bytes (-max-message-out). Zero: 16 MiB, or a 16th of the memory.
	// A request holds up to three times its body while it is served, and all of them together
	// up to three times the largest, beside what the hub counts as buffered.
	MaxBody int64

	// Listener is what the API is served on: how many requests are served at one time follows
	// from how many connections it takes, and more are answered 503. Nil: no bound.
	Listener *Listener
	// SharedAddresses are those that many callers come from, such as a proxy's. What one
	// address may have served at one time is no bound for them.
	SharedAddresses []netip.Prefix

	// Ready says why the server can't do all that it is there for, by what it depends on; nil: it always can.
	Ready func() error

	// About is asked for each GET /v1/stats; nil: nothing is said of that.
	About func() About

	// Dashboard has a page at /, and its parts below /dashboard/, that shows how the server is to whoever types the admin
	// token in.
	Dashboard bool

	// Demo is served at /demo and below; nil: not found. It checks no token.
	Demo http.Handler

	// LogLevel can be read and set over the API; nil: those calls aren't there.
	LogLevel *slog.LevelVar

	// Reload has the server read its configuration again; nil: that call isn't there. An error has changed nothing, and
	// is the caller's answer.
	Reload func() (Reloaded, error)

	// Profiles is served below /debug/pprof/, to admins alone; nil: not found. It is net/http/pprof's, which isn't imported
	// here because it puts itself into http.DefaultServeMux, where a program that embeds the API may show it to everybody.
	Profiles http.Handler

	// Registry is what /metrics shows; New adds the API's own counters to it. Nil: a
	// new metrics.NewRegistry for the hub.
	Registry *prometheus.Registry

	// Logger gets panics of handlers, answers of status 500 and, whatever its level is, a line for each call of an
	// admin that changes something. Nil: slog.Default().
	Logger *slog.Logger
}

const defaultGuestRate = 100

func (o *Options) setDefaults(h *hub.Hub) {
	if o.MaxBody <= 0 {
		o.MaxBody = int64(memory.Defaults().Message)
	}
	if o.GuestRate <= 0 {
		o.GuestRate = defaultGuestRate
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Registry == nil {
		o.Registry = metrics.NewRegistry(h.Stats)
	}
}

// api is what the handlers share. It is immutable after New, but for counters, so they may
// use it from any goroutine.
type api struct {
	Options
	hub *hub.Hub
	mux *http.ServeMux
	// methods are what its calls have.
	methods string
	guests  *rate.Limiter
	places  *places
	large   *semaphore.Weighted // bytes of large bodies that messages are being made of
	// originLog lets through one line a second about refused origins, which strangers make up.
	originLog rate.Sometimes
	counts    counts
	started   time.Time
	reloading sync.Mutex // is held by the call that reloads

	panics panics.Log
}

// New returns the handler of every call in docs/protocol.md section 5. The hub stays the
// caller's; the handler must not be served any more once the hub was shut down.
func New(h *hub.Hub, o Options) http.Handler {
	o.setDefaults(h)
	a := &api{
		Options: o,
		hub:     h,
		large:   semaphore.NewWeighted(o.MaxBody),
		mux:     http.NewServeMux(),
		methods: methods,
		guests:  rate.NewLimiter(rate.Limit(o.GuestRate), int(10*o.GuestRate)+1),
		counts:  newCounts(o.Registry),

		originLog: rate.Sometimes{Interval: time.Second},
		started:   time.Now(),
	}
	if o.Listener != nil {
		a.places = newPlaces(o.Listener.most, o.SharedAddresses)
		countEvictions(o.Registry, o.Listener)
	}
	a.route()
	return a
}

// route is the table of all calls. Path wildcards arrive decoded, so they may contain
// slashes that were sent as %2F.
func (a *api) route() {
	callWithBody := func(pattern string, h http.Handler, parameters ...string) {
		a.mux.Handle(pattern, withParameters(h, parameters...))
	}
	call := func(pattern string, h http.Handler, parameters ...string) {
		callWithBody(pattern, withoutBody(h), parameters...)
	}
	anyQuery := func(pattern string, h http.Handler) { a.mux.Handle(pattern, withoutBody(h)) }

	callWithBody("POST /v1/changes", a.publisher(a.postChanges))
	callWithBody("POST /v1/presence", a.publisher(a.postPresence), "tenant")
	callWithBody("POST /v1/topics/{topic}", a.publisher(a.postTopic), "tenant")
	callWithBody("PUT /v1/rows/{entity}/{row}", a.publisher(a.putRow), "tenant", "update")
	call("DELETE /v1/rows/{entity}/{row}/subscribers/{user}", a.admin(a.endRowSubscriptions), "tenant")
	callWithBody("POST /v1/broadcast", a.publisher(a.postBroadcast))

	call("GET /api/sync/pull", a.open(a.pull), "since", "limit")
	call("GET /api/auth/me", a.open(a.me))
	// Pages made for Pylon send {} here; it isn't read.
	callWithBody("POST /api/auth/guest", a.visitor(a.createGuest))
	callWithBody("POST /v1/sessions", a.admin(a.createSession))
	call("GET /v1/sessions", a.admin(a.listSessions))
	call("DELETE /v1/sessions/{token}", a.admin(a.revokeSession))

	call("GET /v1/clients", a.admin(a.listClients), "after", "limit")
	call("DELETE /v1/clients/{id}", a.admin(a.disconnectClient))
	call("DELETE /v1/users/{user}/clients", a.admin(a.disconnectUser), "tenant")
	call("GET /v1/laggards", a.admin(a.listLaggards), "limit")
	call("GET /v1/closes", a.admin(a.listCloses), "client", "user", "limit")
	call("GET /v1/losses", a.admin(a.listLosses), "client", "user", "limit")
	call("GET /v1/why", a.admin(a.why), "client", "seq")
	call("GET /v1/stats", a.admin(a.stats))
	if a.Reload != nil {
		call("POST /v1/reload", a.admin(a.reload))
	}
	if a.LogLevel != nil {
		call("GET /v1/log-level", a.admin(a.getLogLevel))
		callWithBody("PUT /v1/log-level", a.admin(a.putLogLevel))
	}

	// A query says nothing to these, whoever sends one: probes, Prometheus and pages.
	anyQuery("GET /api/sync/ws", a.open(a.webSocketIsElsewhere))
	anyQuery("GET /busbar.js", a.visitor(apart(js.Handler())))
	anyQuery("GET /metrics", a.scrape())
	anyQuery("GET /openapi.yaml", a.open(a.openAPI))
	anyQuery("GET /healthz", a.open(a.healthz))
	anyQuery("GET /readyz", a.open(a.readyz))
	if a.Profiles != nil {
		anyQuery("GET /debug/pprof/", a.admin(apart(a.Profiles)))
	}
	if a.Dashboard {
		page := a.visitor(apart(dashboard.Handler()))
		a.mux.Handle("GET /{$}", page)
		a.mux.Handle("/dashboard/", page)
	}
	if a.Demo != nil {
		a.mux.Handle("/demo", a.visitor(apart(a.Demo)))
		a.mux.Handle("/demo/", a.visitor(apart(a.Demo)))
	}
}

// apart gives a handler a request of its own: a ServeMux in there would overwrite the
// pattern by which this one is counted.
func apart(h http.Handler) call {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r.WithContext(r.Context()))
		return nil
	}
}
