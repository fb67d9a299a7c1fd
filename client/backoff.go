package client

import (
	"errors"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/wsproto"
)

// stable is how long a connection has to last for the waits to begin anew: a server that accepts and closes at once,
// over capacity, say, must see them grow.
const stable = 10 * time.Second

// longestRetry bounds what a Retry-After may say.
const longestRetry = 10 * time.Minute

// backoff says how long to wait. It is a plain value, and its caller brings the chance, from 0 to 1.
type backoff struct {
	min, max time.Duration
	attempt  int
}

// next is the wait after a connection that ended with err and lasted so long.
func (b *backoff) next(err error, lasted time.Duration, chance float64) time.Duration {
	spread, told := reconnectAfter(err)
	if lasted > stable {
		b.attempt = 0
		if told {
			return spread // chosen for this client, so that all of them come back evenly
		}
	}
	// Retry-After is in whole seconds: without a part of one, many clients would come at once.
	if status := (*StatusError)(nil); errors.As(err, &status) && status.RetryAfter > 0 {
		return status.RetryAfter + time.Duration(chance*float64(time.Second))
	}
	bound := b.max
	if b.attempt < 30 { // or it would overflow
		bound = min(b.min<<b.attempt, b.max)
		b.attempt++
	}
	own := time.Duration(chance * float64(bound)) // full jitter, so that many clients spread over all of it
	return max(spread, own)                       // a server that names a short wait to every newcomer sees the waits grow, too
}

// reconnectAfter is what a draining server suggests, such as reconnect-after=2.4s.
func reconnectAfter(err error) (time.Duration, bool) {
	closed := (*CloseError)(nil)
	if !errors.As(err, &closed) || closed.Code != websocket.StatusServiceRestart {
		return 0, false
	}
	return wsproto.ParseReconnectAfter(closed.Reason)
}

func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, longestRetry)
}
