package httpapi

import (
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counts is the API's own share of /metrics.
type counts struct {
	requests *prometheus.CounterVec
	panics   prometheus.Counter
	busy     prometheus.Counter
}

func newCounts(reg prometheus.Registerer) counts {
	return counts{
		requests: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "busbar_http_requests_total",
			Help: "HTTP requests answered by the API, by route and class of status.",
		}, []string{"route", "class"})),
		panics: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "busbar_http_panics_total",
			Help: "API handlers that panicked.",
		})),
		busy: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "busbar_http_busy_total",
			Help: "API requests answered 503 because too many were being served.",
		})),
	}
}

func countEvictions(reg prometheus.Registerer, l *Listener) {
	register(reg, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "busbar_http_connections_evicted_total",
		Help: "Connections to the API, with no request being served, that made room for new ones.",
	}, func() float64 { return float64(l.Evicted()) }))
}

// register adds c to reg, or finds what an earlier API on the same registry has added.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	var earlier prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &earlier) {
		if same, ok := earlier.ExistingCollector.(C); ok {
			return same
		}
	}
	return c
}

// ServeHTTP answers one request and counts it, whatever becomes of it.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &recorder{ResponseWriter: w, request: r}
	defer a.finish(rec)
	if a.allowOrigin(rec, r) {
		return
	}
	if conn := connOf(r); conn != nil && r.ContentLength != 0 {
		_ = conn.SetReadDeadline(time.Now().Add(unreadTimeout)) // readBody has its own
	}
	if !isCanonical(r.URL.EscapedPath()) {
		// ServeMux would redirect, which turns a POST into a GET.
		writeFailure(rec, newFailure(http.StatusNotFound, "NOT_FOUND", `the path has empty, "." or ".." segments`))
		return
	}
	a.mux.ServeHTTP(rec, r)
}

// finish recovers a panic of the handler, so that it costs no more than its request. It
// must be deferred itself: recover works in a deferred function only.
func (a *api) finish(rec *recorder) {
	thrown := recover()
	if thrown != nil && thrown != http.ErrAbortHandler {
		a.counts.panics.Inc()
		a.panics.Note(a.Logger, "in the handler of "+routeOf(rec.request), thrown)
		if rec.status == 0 {
			writeFailure(rec, newFailure(http.StatusInternalServerError, "INTERNAL", "internal error; the server's log has more"))
			thrown = nil
		}
	}
	class := rec.class()
	if thrown != nil {
		class = "5xx"
	}
	a.counts.requests.WithLabelValues(routeOf(rec.request), class).Inc()
	if thrown != nil { // part of an answer is out: only cutting the connection tells the client that it is incomplete
		panic(http.ErrAbortHandler)
	}
}

// routeOf is the label of a request: a pattern, never a path, which callers could make
// up without end.
func routeOf(r *http.Request) string {
	switch {
	case r.Pattern != "":
		return r.Pattern
	case isPreflight(r):
		return "preflight"
	}
	return "unmatched"
}

func isCanonical(p string) bool {
	clean := path.Clean(p)
	if clean != "/" && strings.HasSuffix(p, "/") {
		clean += "/"
	}
	return p == clean
}

// recorder remembers the status of an answer, and writes ServeMux's own answers (404, 405)
// in this API's form. It belongs to its request's goroutine.
type recorder struct {
	http.ResponseWriter
	request  *http.Request
	status   int // 0 until the header is written
	replaced bool
}

// WriteHeader is http.ResponseWriter's.
func (rec *recorder) WriteHeader(status int) {
	if status < 200 || rec.status != 0 {
		rec.ResponseWriter.WriteHeader(status)
		return
	}
	rec.status = status
	if rec.request.Pattern != "" || rec.Header().Get("Content-Type") == typeJSON {
		rec.ResponseWriter.WriteHeader(status)
		return
	}
	switch status {
	case http.StatusNotFound:
		rec.replace(newFailure(status, "NOT_FOUND", "there is no such call"))
	case http.StatusMethodNotAllowed:
		rec.replace(newFailure(status, "METHOD_NOT_ALLOWED", "this path takes "+rec.Header().Get("Allow")))
	default:
		rec.ResponseWriter.WriteHeader(status)
	}
}

func (rec *recorder) replace(f *failure) {
	rec.replaced = true
	writeFailure(rec.ResponseWriter, f)
}

// Write is http.ResponseWriter's. What follows a replaced header is dropped.
func (rec *recorder) Write(b []byte) (int, error) {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if rec.replaced {
		return len(b), nil
	}
	return rec.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

func (rec *recorder) class() string {
	switch {
	case rec.status == 0 || rec.status/100 == 2:
		return "2xx" // net/http answers 200 for a handler that wrote nothing
	case rec.status/100 == 3:
		return "3xx"
	case rec.status/100 == 4:
		return "4xx"
	}
	return "5xx"
}
