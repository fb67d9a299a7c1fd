package httpapi

import (
	"cmp"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/busbar-ws/busbar/hub/metrics"
)

// counts is the API's own share of /metrics.
type counts struct {
	requests *prometheus.CounterVec
	panics   prometheus.Counter
	busy     prometheus.Counter
}

func newCounts(reg prometheus.Registerer) counts {
	return counts{
		requests: register(reg, prometheus.NewCounterVec(metrics.HTTPRequests.Counter(), metrics.HTTPRequests.Labels)),
		panics:   register(reg, prometheus.NewCounter(metrics.HTTPPanics.Counter())),
		busy:     register(reg, prometheus.NewCounter(metrics.HTTPBusy.Counter())),
	}
}

func countEvictions(reg prometheus.Registerer, l *Listener) {
	register(reg, prometheus.NewCounterFunc(metrics.HTTPEvicted.Counter(), func() float64 { return float64(l.Evicted()) }))
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

// unreadTimeout is how long net/http may wait, before it answers, for what is left of a body
// that nobody wants.
const unreadTimeout = time.Second

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
	if f := a.badTarget(r); f != nil {
		if f.status == http.StatusMethodNotAllowed {
			rec.Header().Set("Allow", a.methods)
		}
		writeFailure(rec, f)
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
	if rec.audit != nil {
		a.writeAudit(rec)
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

// badTarget is the answer to a request whose target ServeMux can't judge; nil for all others.
func (a *api) badTarget(r *http.Request) *failure {
	connect, authority := r.Method == http.MethodConnect, r.URL.Hostname() != "" && r.URL.User == nil
	switch p := r.URL.EscapedPath(); {
	case connect && p == "" && authority && r.URL.Port() != "", r.Method == http.MethodOptions && p == "*":
		// RFC 9110 9.3.6 and 9.3.7: well-formed, but about no call.
		return newFailure(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "this server takes "+a.methods)
	case connect, !strings.HasPrefix(p, "/"), // RFC 9112 3.2
		r.URL.Scheme != "" && !authority: // RFC 9110 4.2.1 and 4.2.4
		return newFailure(http.StatusBadRequest, "INVALID_TARGET", "the method can't have this request target")
	case !isCanonical(p): // ServeMux would redirect, which turns a POST into a GET
		return noSuchCall(r)
	}
	return nil
}

// methods are all that any call of New has, and probes those of NewMetrics.
const (
	methods = "GET, HEAD, POST, PUT, DELETE"
	probes  = "GET, HEAD"
)

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
	audit    *audit // nil: none is due
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
		f := noSuchCall(rec.request)
		rec.status = f.status
		rec.replace(f)
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

// answered is the answer's status: net/http's is 200 for a handler that wrote nothing.
func (rec *recorder) answered() int { return cmp.Or(rec.status, http.StatusOK) }

func (rec *recorder) class() string {
	switch rec.answered() / 100 {
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	}
	return "5xx"
}
