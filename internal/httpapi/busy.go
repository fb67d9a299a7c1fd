package httpapi

import (
	"net/http"
	"time"
)

// Reserved is how many of n connections are kept free of requests, for probes and scrapes:
// what to leave between LimitListener's bound and Options.MaxRequests.
func Reserved(n int) int { return max(n/8, 2) }

// enter takes a place among the requests that are served at one time; false when there is
// none. Publishers that are slow with their bodies, and readers that are slow with their
// answers, hold theirs; probes need none, and neither does a scrape whose token is known to
// be good without asking anybody.
func (a *api) enter(r *http.Request) (leave func(), ok bool) {
	if a.places == nil || a.atOnce(r) {
		return func() {}, true
	}
	select {
	case a.places <- struct{}{}:
		return func() { <-a.places }, true
	default:
		a.counts.busy.Inc()
		return nil, false
	}
}

func (a *api) atOnce(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz":
		return true
	case "/metrics":
		if a.MetricsOpen {
			return true
		}
		id, known := a.hub.Known(bearer(r))
		return known && id.Admin
	}
	return false
}

// busyTimeout is how long what is left of a refused request's body is waited for.
const busyTimeout = time.Second

// writeBusy also ends the connection, of which there are too many.
func writeBusy(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(busyTimeout))
	w.Header().Set("Connection", "close")
	writeFailure(w, newFailure(http.StatusServiceUnavailable, "BUSY", "too many requests are being served, try again"))
}

// scrapeTimeout is how long a scraper has to take its answer. Four at a time may.
const scrapeTimeout = 10 * time.Second

func hurry(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(scrapeTimeout)) // a test's recorder has none
}
