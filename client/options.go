package client

import (
	"context"
	"net/http"
	"time"
)

// Latest is a cursor ahead of every log. A client that begins with it is sent what is published from then on, and
// loses none of it when it has to connect again before the first event.
const Latest = 1<<53 - 1

// Options are a client's. Token and Handle have to be there.
type Options struct {
	// Token gives the token for the next connection. refused is nil, or says why the server refused the last token or
	// ended its session: Token gives another one then. The same again ends Run with that error. When Token fails it is
	// called again later.
	Token func(ctx context.Context, refused error) (string, error)

	// Handle is given each message. When it returns nil for a change event the cursor moves there; an error closes the
	// connection and ends Run with it.
	Handle func(ctx context.Context, m Message) error

	// Since is the cursor to begin with; 0 is all that there is. nil is without one until the first event, as Pylon's
	// clients begin: then an event is lost that is published while the client has to connect again before its first.
	Since *uint64

	// Subscribe is what to begin with. Client.Subscribe adds to it.
	Subscribe []Subscription

	// API is the HTTP API's address, such as http://127.0.0.1:4321, to pull from what was lost. Without it the client
	// connects again to get that. With the server's -routing subscribed it has to be there for entities' events: a
	// connection doesn't bring those that it has missed.
	API string

	// Refetch fetches everything anew from your backend. It is called when the server's log doesn't reach back to what
	// was lost, and returns the new cursor: seq, unless the backend has one of its own. When it fails the client
	// connects again, and is told again. nil: the client goes on behind seq.
	Refetch func(ctx context.Context, seq uint64) (cursor uint64, err error)

	// State is told when the client connects, is let in, and waits. It may be nil.
	State func(State)

	// Retry is asked whether to connect again after an error that another connection might not meet; when it says no,
	// Run returns that error. nil: always.
	Retry func(err error) bool

	// MinDelay (1 s) bounds the first wait, MaxDelay (30 s) the longest. Each wait is a random part of its bound.
	MinDelay, MaxDelay time.Duration

	// Quiet (25 s) is how long nothing may come until the server is pinged, Patience (10 s) how long it may take to
	// answer, and a third of what connecting may take.
	Quiet, Patience time.Duration

	// MaxMessage (16 MiB) is the bytes of one message. A larger one ends Run with Close 1009.
	MaxMessage int64

	// HTTPClient is for the handshake and for pulls. nil: one that follows no redirects, because they would be handed
	// the token.
	HTTPClient *http.Client
}

func (o *Options) setDefaults() {
	def := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	def(&o.MinDelay, time.Second)
	def(&o.MaxDelay, 30*time.Second)
	def(&o.Quiet, 25*time.Second)
	def(&o.Patience, 10*time.Second)
	if o.MaxMessage == 0 {
		o.MaxMessage = 16 << 20
	}
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
}

// Token is Options.Token for one that doesn't change.
func Token(token string) func(context.Context, error) (string, error) {
	return func(context.Context, error) (string, error) { return token, nil }
}

// State is what a client is doing. It is a plain value.
type State struct {
	Phase Phase
	Err   error         // with Waiting: what ended the connection
	Delay time.Duration // with Waiting: until the next one
}

// Phase is one of the constants below.
type Phase int

const (
	Connecting Phase = iota
	Open             // the server has answered: the token is good
	Waiting
)

// Subscription is to a topic, to the change events of an entity, or with an entity and a row id to a row. It is a plain
// value.
type Subscription struct {
	Topic, Entity, RowID string
}

// message is what begins the subscription, or with the prefix "un" ends it.
func (s Subscription) message(prefix string) map[string]string {
	switch {
	case s.Topic != "":
		return map[string]string{"type": prefix + "subscribe", "topic": s.Topic}
	case s.RowID != "":
		return map[string]string{"type": "crdt-" + prefix + "subscribe", "entity": s.Entity, "rowId": s.RowID}
	}
	return map[string]string{"type": prefix + "subscribe", "entity": s.Entity}
}
