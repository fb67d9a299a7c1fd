package httpapi

import (
	"bytes"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/busbar-ws/busbar/hub"
)

// scrapesAtOnce is how many scrapes are served at one time by NewMetrics; more get 503.
const scrapesAtOnce = 4

// NewMetrics returns a handler of /metrics, /healthz and /readyz alone, which asks nobody for a token: it is for a
// listener of its own, which only Prometheus and those who look after the server can reach. Of the options
// Registry, Ready, Origins and Logger count, and are to be those that New was given. As with New, the handler must not be
// served any more once the hub was shut down.
func NewMetrics(h *hub.Hub, o Options) http.Handler {
	o.setDefaults(h)
	a := &api{Options: o, hub: h, mux: http.NewServeMux(), methods: probes, counts: newCounts(o.Registry)}
	a.mux.Handle("GET /metrics", withoutBody(whole(a.scrapes(scrapesAtOnce))))
	a.mux.Handle("GET /healthz", withoutBody(a.open(a.healthz)))
	a.mux.Handle("GET /readyz", withoutBody(a.open(a.readyz)))
	return a
}

// scrape is GET /metrics for an admin. There are places for how many at a time.
func (a *api) scrape() http.Handler {
	h := a.scrapes(0)
	return a.adminOnly(scraping, func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	})
}

// scrapes shows the numbers to so many at a time; 0: to all.
func (a *api) scrapes(most int) http.Handler {
	return promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: most,
		ErrorLog: slog.NewLogLogger(a.Logger.Handler(), slog.LevelWarn),
	})
}

// whole hands h's answer over once h has ended: whoever doesn't read it keeps none of the places that h has. How many
// answers there are at one time the listener bounds.
func whole(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept := keptAnswer{header: w.Header(), status: http.StatusOK}
		h.ServeHTTP(&kept, r)
		w.WriteHeader(kept.status)
		_, _ = w.Write(kept.body.Bytes()) // an error has ended the connection
	})
}

// keptAnswer is an http.ResponseWriter. It belongs to one request.
type keptAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *keptAnswer) Header() http.Header { return k.header }

func (k *keptAnswer) WriteHeader(status int) { k.status = status }

func (k *keptAnswer) Write(b []byte) (int, error) { return k.body.Write(b) }
