package httpapi

import "net/http"

// healthz answers as long as the process serves at all.
func (a *api) healthz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, map[string]string{"status": "ok"})
}

// readyz tells a load balancer whether to send new connections here.
func (a *api) readyz(w http.ResponseWriter, _ *http.Request) error {
	if a.hub.Draining() {
		return newFailure(http.StatusServiceUnavailable, "DRAINING", "the server is shutting down")
	}
	if err := a.notReady(); err != nil {
		return newFailure(http.StatusServiceUnavailable, "DEGRADED", "clients stay connected, but the change log or rows can't be used: "+err.Error())
	}
	return writeJSON(w, map[string]string{"status": "ready"})
}

// notReady is why the server can't do all that it is there for; nil: it can.
func (a *api) notReady() error {
	if a.Ready == nil {
		return nil
	}
	return a.Ready()
}
