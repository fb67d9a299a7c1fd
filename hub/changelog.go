package hub

import (
	"context"

	"github.com/busbar-ws/busbar/eventloop"
)

// ChangeLog remembers change events, so that a client that was away can pull what it
// missed. An implementation is safe from any goroutine.
//
// It is an interface because a durable log, shared by a cluster, is to come, and because
// tests run the hub on a log that fails.
type ChangeLog interface {
	// Append gives the event the next seq, remembers it, and returns it as encoded. The
	// event's own Seq is ignored, its Data must be valid JSON, and its slices and the
	// audience's now belong to the log. After an error nothing was remembered.
	Append(e Event, a Audience) (Entry, error)

	// Range reads at most limit entries with a seq above since, oldest first; none when
	// limit isn't positive. A *ResyncError says that the cursor is from the future, or
	// that events after it are gone. Zero is never too old: it is where a new client
	// starts, and is served from the oldest entry on.
	Range(ctx context.Context, since uint64, limit int) (Page, error)

	// Last is the newest seq, 0 before the first event.
	Last() uint64

	// Oldest is the oldest seq that Range can return: Last()+1 when there is none.
	Oldest() uint64
}

// Entry is one event in the log. It is immutable: its slices are shared by everyone who
// reads it.
type Entry struct {
	Seq      uint64
	JSON     []byte // the Event, as EncodeEvent gives it
	Audience Audience

	// frame is JSON as it goes out, when the log keeps it so. An event for a topic's
	// subscribers has no Seq there: it isn't caught up on, so it is never a repeat.
	frame *eventloop.Frame
}

// Page is a part of the log, with the log's bounds at the moment it was read.
type Page struct {
	Entries []Entry
	Oldest  uint64
	Last    uint64
}
