package httpapi

import (
	"context"
	"net/http"
	"time"
)

// roomTimeout is how long a publisher is made to wait for the loops' queues. After it the
// message is published all the same, and may push out the oldest of a loop that is stuck.
const roomTimeout = 5 * time.Second

// publisher is admin for calls that publish: they wait for room first, so that whoever
// publishes over HTTP is slowed down and loses nothing.
func (a *api) publisher(c call) http.Handler {
	return a.adminOnly(publishing, func(w http.ResponseWriter, r *http.Request) error {
		a.waitDrained(r)
		return c(w, r)
	})
}

func (a *api) waitDrained(r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), roomTimeout)
	defer cancel()
	_ = a.hub.WaitDrained(ctx)
}
