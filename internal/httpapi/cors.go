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
	origin := r.Header.Get("Origin")
	allowed := origin != "" && a.Origins.Allow(origin, r.Host)
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
		writeFailure(w, newFailure(http.StatusForbidden, "ORIGIN_NOT_ALLOWED", "pages of this origin may not call this server (-origins)"))
		return true
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// isPreflight tells a browser's question from a plain OPTIONS (Fetch standard, "CORS-preflight request").
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != ""
}
