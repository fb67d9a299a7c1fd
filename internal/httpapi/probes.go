package httpapi

import "net/http"

// healthz answers as long as the process serves at all.
func (a *api) healthz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string]string{"status": "ok"})
}

// readyz tells a load balancer whether to send new connections here.
func (a *api) readyz(w http.ResponseWriter, _ *http.Request) error {
	switch {
	case a.hub.Draining():
		return newFailure(http.StatusServiceUnavailable, "DRAINING", "the server is shutting down")
	case a.Ready != nil && !a.Ready():
		return newFailure(http.StatusServiceUnavailable, "NOT_READY", "the server is not ready yet")
	}
	return writeJSON(w, map[string]string{"status": "ready"})
}

// stats is GET /v1/stats.
func (a *api) stats(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, a.hub.Stats())
}
