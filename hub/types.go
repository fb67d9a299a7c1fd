package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// ChangeKind is what happened to a row.
type ChangeKind string

// The kinds of a change event.
const (
	Insert ChangeKind = "insert"
	Update ChangeKind = "update"
	Delete ChangeKind = "delete"
)

// Audience narrows who gets a change event. The zero value is everyone; at most one
// field may be set.
type Audience struct {
	Users  []string `json:"users,omitempty"`  // user ids
	Tenant string   `json:"tenant,omitempty"` // every client of that tenant
	Topic  string   `json:"topic,omitempty"`  // every client subscribed to that topic
}

// Change is a change event as a publisher gives it.
type Change struct {
	Entity string          `json:"entity"`
	RowID  string          `json:"row_id"`
	Kind   ChangeKind      `json:"kind"`
	Data   json.RawMessage `json:"data,omitempty"` // dropped for a delete
	// Timestamp is passed on as it is; when empty, the server's clock in Unix
	// seconds with a Z behind it.
	Timestamp string `json:"timestamp,omitempty"`
	// OpID makes publishing repeatable: the last 10,000 are remembered, and a change
	// with one of them isn't applied again. At most 256 bytes.
	OpID     string   `json:"op_id,omitempty"`
	Audience Audience `json:"audience"`
	// Seq is the publisher's own number, above all before it and at most MaxSeq; 0 unless Options.Seqs is
	// SeqGiven.
	Seq uint64 `json:"seq,omitempty"`

	checked json.RawMessage // Data, if DecodeChange has checked it
}

// Event is a change event as clients see it (docs/protocol.md section 3).
type Event struct {
	Seq       uint64          `json:"seq"`
	Entity    string          `json:"entity"`
	RowID     string          `json:"row_id"`
	Kind      ChangeKind      `json:"kind"`
	Data      json.RawMessage `json:"data,omitempty"`
	Timestamp string          `json:"timestamp"`
}

// RowKind is the first byte of a row frame.
type RowKind byte

// The kinds of row frames.
const (
	Snapshot    RowKind = 0x10 // the row's whole state
	Incremental RowKind = 0x11 // an update on top of it
)

// FieldError names the field of a request that is wrong. Errors returned for bad input
// are or wrap a *FieldError.
type FieldError struct {
	Field, Message string

	cause error // of package strictjson, which may say where it is
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

func (e *FieldError) Unwrap() error { return e.cause }

// MaxSeq is the largest seq: JavaScript can't count further.
const MaxSeq = 1<<53 - 1

// SeqError says that a publisher's own seq, of a change of its call, isn't above what is before it there or in the log.
// Nothing of the call was published.
type SeqError struct {
	Seq    uint64
	Before uint64 // the one that it isn't above
	Last   uint64 // of the log, the highest so far
	Index  int    // of the change in the call
}

func (e *SeqError) Error() string {
	return fmt.Sprintf("seq %d doesn't rise: %d is before it, and the highest so far is %d", e.Seq, e.Before, e.Last)
}

// ErrTooLarge is wrapped by errors about messages over Options.MaxMessageOut, which are a *SizeError, or over what
// the change log or other nodes take.
var ErrTooLarge = errors.New("message too large")

// SizeError says that a message is over Options.MaxMessageOut. It wraps ErrTooLarge.
type SizeError struct{ Size, Most int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("%v: it has %d bytes, at most %d bytes are allowed", ErrTooLarge, e.Size, e.Most)
}

func (e *SizeError) Unwrap() error { return ErrTooLarge }

// ResyncError says that a cursor can't be served from the log: it is older than
// OldestSeq, the oldest event that is retained, or newer than Seq, the newest.
type ResyncError struct{ OldestSeq, Seq uint64 }

func (e *ResyncError) Error() string {
	return fmt.Sprintf("resync required: the log holds %d to %d", e.OldestSeq, e.Seq)
}

// Pulled is one page of the change log.
type Pulled struct {
	Changes []json.RawMessage // encoded Events, oldest first
	LastSeq uint64            // the cursor for the next call
	HasMore bool
	// Partial is true for a page from the beginning of a log that has let go of entries: it can't seed a
	// replica.
	Partial bool

	frames []*eventloop.Frame // whose payloads the Changes are, where the log keeps them so
	read   []readChange       // the other Changes
}

// ClientInfo describes one open connection.
type ClientInfo struct {
	ID            uint64    `json:"id"`
	UserID        string    `json:"user_id"`
	Tenant        string    `json:"tenant,omitempty"`
	Admin         bool      `json:"is_admin"`
	Address       string    `json:"address"`
	ConnectedAt   time.Time `json:"connected_at"` // to a tenth of a second
	Subscriptions int       `json:"subscriptions"`
}
