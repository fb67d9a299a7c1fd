package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// noSuchCall is the answer to a path that has no call. Below /api/ are the calls of Pylon's backend, of
// which Busbar has few. Pylon's clients take 404 there for "this entity is gone" and delete their rows, so
// all of it, and what a slash too many in a client's address makes of it, is 501.
func noSuchCall(r *http.Request) *failure {
	if strings.HasPrefix(path.Clean(r.URL.Path)+"/", "/api/") {
		return newFailure(http.StatusNotImplemented, "NOT_IMPLEMENTED",
			"Busbar doesn't have this call: if it is one of Pylon's backend, send it there")
	}
	return newFailure(http.StatusNotFound, "NOT_FOUND", "there is no such call")
}

// webSocketIsElsewhere is GET /api/sync/ws, where newer Pylon clients look for the WebSocket. A proxy can
// send that path to the WebSocket's port, which takes any; here it is for telling what to set up.
func (a *api) webSocketIsElsewhere(w http.ResponseWriter, r *http.Request) error {
	port := a.hub.Addr().(*net.TCPAddr).Port
	host := (&url.URL{Host: r.Host}).Hostname()
	f := newFailure(http.StatusUpgradeRequired, "UPGRADE_REQUIRED",
		fmt.Sprintf("the WebSocket is on port %d: connect there, or have a proxy send this path there", port))
	f.WebSocket = "ws://" + net.JoinHostPort(host, strconv.Itoa(port)) + r.URL.EscapedPath()
	return f
}
