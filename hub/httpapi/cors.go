package httpapi

import "net/http"

// allowOrigin writes the headers by which a browser lets a page of an allowed origin read the
// answer, and answers preflights. It reports whether the request is answered.
//
// A simple request of a foreign page is served without those headers: its page can't
// read the answer, and can't have sent a token without a preflight.
func (a *api) allowOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	if len(r.Header["Origin"]) > 1 { // RFC 6454 7.3; whose would be believed?
		writeFailure(w, invalidField("Origin", "is there more than once"))
		return true
	}
	origin := r.Header.Get("Origin")
	allowed := origin != "" && a.hub.Origins().Allow(origin, r.Host)
	if allowed {
		h.Set("Access-Control-Allow-Origin", origin)
		// Pylon's client fetches with credentials "include", and a browser keeps such an answer from
		// it without this. No cookie authorises anything here, so nothing is given away.
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", bearerRejected)
	}
	if !isPreflight(r) {
		return false
	}
	if !allowed {
		writeFailure(w, a.foreignOrigin(origin))
		return true
	}
	// PATCH for the sake of Pylon's pages, which then read 501 and not a network error.
	h.Set("Access-Control-Allow-Methods", a.methods+", PATCH")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// foreignOrigin is the answer to a page whose origin isn't allowed. The log says what would allow it.
func (a *api) foreignOrigin(origin string) *failure {
	a.originLog.Do(func() {
		a.Logger.Warn("a call by a page of another origin was refused", a.hub.Origins().LogArgs(origin)...)
	})
	return newFailure(http.StatusForbidden, "ORIGIN_NOT_ALLOWED", "pages of this origin may not call this server (-origins)")
}

// isPreflight tells a browser's question from a plain OPTIONS (Fetch standard, "CORS-preflight request").
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != ""
}
