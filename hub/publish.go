package hub

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/message"
	"github.com/busbar-ws/busbar/hub/internal/trouble"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// PublishChange gives the change a seq, appends it to the change log and sends it to its
// audience. A repeated OpID returns the first seq and sends nothing. The change is
// checked first; what is wrong with it is a *FieldError, a *SeqError, or ErrTooLarge. Its slices
// become the hub's. Every call that publishes may return ErrOverloaded and ErrShutDown too.
func (h *Hub) PublishChange(c Change) (seq uint64, err error) {
	seqs, err := h.PublishChanges(c)
	if err != nil {
		return 0, err
	}
	return seqs[0], nil
}

// PublishChanges is PublishChange for several: they are stored and go out together, in order and in as few
// writes as possible, with nothing of other publishers between them. All
// are checked before the first is published. seqs has those that were published; it is
// shorter than changes when the change log fails on the way.
func (h *Hub) PublishChanges(changes ...Change) (seqs []uint64, err error) {
	for i := range changes {
		if err := h.CheckChange(&changes[i]); err != nil {
			return nil, err
		}
	}
	if err := h.admit(0); err != nil {
		return nil, err
	}
	now := timestamp(time.Now())
	for i := range changes {
		c := &changes[i]
		c.Audience.Users = distinct(c.Audience.Users)
		setDefault(&c.Timestamp, now)
	}
	results, err := h.appendToLog(changes)
	seqs = make([]uint64, len(results))
	for i, r := range results {
		seqs[i] = r.Seq
		if r.Repeated {
			h.counters.repeated.Add(1)
		} else {
			h.counters.changes.Add(1)
		}
	}
	if err != nil {
		return seqs, fmt.Errorf("appending to the change log: %w", err)
	}
	return seqs, nil
}

// timestamp is a change's that has none.
func timestamp(now time.Time) string { return strconv.FormatInt(now.Unix(), 10) + "Z" }

// distinct sorts names in place and leaves each of them once: whoever is named twice is
// still sent one message.
func distinct[T cmp.Ordered](names []T) []T {
	slices.Sort(names)
	return slices.Compact(names)
}

// CheckChange says what PublishChange would find wrong with a change, without
// publishing it.
func (h *Hub) CheckChange(c *Change) error {
	if err := checkSeq(c.Seq, h.opts.Seqs); err != nil {
		return err
	}
	return validateChange(c, h.opts.MaxMessageOut)
}

func checkSeq(seq uint64, seqs Seqs) error {
	switch {
	case seqs == SeqAssigned && seq != 0:
		return &FieldError{Field: "seq", Message: "is assigned here (-seq given lets publishers number their changes)"}
	case seqs == SeqGiven && (seq == 0 || seq > MaxSeq):
		return &FieldError{Field: "seq", Message: fmt.Sprintf("must be a number from 1 to %d, above all before it (-seq given)", uint64(MaxSeq))}
	}
	return nil
}

// send hands a message to the loops, and counts it as published unless there is no room for
// it: then nobody got it, and its publisher may try again.
func (h *Hub) send(f *eventloop.Frame, to *eventloop.Audience, published *atomic.Uint64) error {
	if h.engine.Publish(f, to).Refused {
		return ErrOverloaded
	}
	published.Add(1)
	return nil
}

// sendEverywhere is send, to the other nodes' clients too.
func (h *Hub) sendEverywhere(f *eventloop.Frame, to *eventloop.Audience, published *atomic.Uint64) error {
	if err := h.fitsPeers(f.Wire(), to); err != nil {
		return err
	}
	if err := h.send(f, to, published); err != nil {
		return err
	}
	h.toPeers(f, to)
	return nil
}

// PublishPresence sends a JSON object to every client of a tenant, as it is; without a
// tenant ("") to every client.
func (h *Hub) PublishPresence(tenant string, object json.RawMessage) error {
	if err := checkName("tenant", tenant); err != nil {
		return err
	}
	if err := checkJSON("body", object); err != nil {
		return err
	}
	if jsontext.Value(object).Kind() != '{' {
		const message = "a presence message is a JSON object"
		return &FieldError{Field: "body", Message: message, cause: &strictjson.Error{Message: message, Syntax: true}}
	}
	object = bytes.TrimSpace(object)
	if hasSeq(object) {
		return &FieldError{Field: "seq", Message: "a presence message must not have one: clients would take it for a change event"}
	}
	if err := h.admit(len(object)); err != nil {
		return err
	}
	f := eventloop.NewFrame(ws.OpText, object)
	f.Lossy, f.Kind = true, eventloop.KindPresence
	return h.sendEverywhere(f, anyOfTenant(tenant), &h.counters.presence)
}

// hasSeq is whether some client finds a seq at the top of a valid object. The cursor of each client that took it for an
// event's would be beyond those that follow.
func hasSeq(object json.RawMessage) bool {
	members := strictjson.LenientObject(object)
	for m, more := members.Next(); more; m, more = members.Next() {
		if bytes.EqualFold(m.Key(), []byte("seq")) {
			return true
		}
	}
	return false
}

// anyOfTenant is the audience that a publisher names: without a tenant everyone.
func anyOfTenant(tenant string) *eventloop.Audience {
	if tenant == "" {
		return nil
	}
	return ofTenant(tenant)
}

// PublishTopic sends {"type":"topic","topic":…,"data":…} to every client of a tenant, or to
// those of them that subscribed to the topic (Options.Routing); without a tenant ("") to
// clients of all. data is any JSON value.
func (h *Hub) PublishTopic(tenant, topic string, data json.RawMessage) error {
	if err := checkName("tenant", tenant); err != nil {
		return err
	}
	if topic == "" {
		return &FieldError{Field: "topic", Message: "must not be empty"}
	}
	if err := checkName("topic", topic); err != nil {
		return err
	}
	if err := checkJSON("data", data); err != nil {
		return err
	}
	data = bytes.TrimSpace(data)
	const begin, middle, end = `{"type":"topic","topic":`, `,"data":`, `}`
	size := len(begin+middle+end) + message.QuotedSize(topic) + len(data)
	if err := h.admit(size); err != nil {
		return err
	}
	text := message.AppendString(append(message.Room(size), begin...), topic)
	text = append(append(append(text, middle...), data...), end...)
	f := message.Frame(text)
	f.Lossy, f.Kind = true, eventloop.KindTopic
	return h.sendEverywhere(f, h.onTopic(topic, anyOfTenant(tenant)), &h.counters.topics)
}

// PublishRow sends a row frame to those of the row's subscribers that are the tenant's clients;
// without a tenant ("") to all. A Snapshot also becomes what new subscribers of the tenant are
// sent, and takes the row from the tenant that had it; an Incremental goes to nobody who may not
// read that. A Snapshot has all that was published of its row before: a subscriber that lags is sent it instead
// of what waits of the row. With Options.Rows.Fetch, which supplies
// snapshots and decides who may read, the tenant has no meaning. The payload becomes the hub's.
func (h *Hub) PublishRow(kind RowKind, tenant, entity, rowID string, payload []byte) error {
	if err := checkRow(kind, entity, rowID); err != nil {
		return err
	}
	if err := h.admit(len(payload) + len(entity) + len(rowID) + rowHeader); err != nil {
		return err
	}
	r := &StoredRow{Kind: kind, Tenant: tenant, Entity: entity, RowID: rowID, Payload: payload}
	if h.stores(kind) {
		return h.storeRow(r)
	}
	return h.sendRow(r)
}

// sendRow sends a row frame, and keeps it if it is a snapshot.
func (h *Hub) sendRow(r *StoredRow) error {
	kind := r.Kind
	f, err := rowFrame(kind, r.Entity, r.RowID, r.Payload)
	if err != nil {
		return err
	}
	tenant, entity, rowID := r.Tenant, r.Entity, r.RowID
	h.storing.Lock()
	defer h.storing.Unlock()
	to := &eventloop.Audience{Key: keyOfRow(entity, rowID)}
	if h.rows != nil {
		version, owner := r.Seq, r.Owner
		if r.Seq == 0 {
			version, owner = h.rows.Update(entity, rowID)
		}
		// For updates as well: one from before a snapshot mustn't come behind it.
		f.Row = &eventloop.RowPlace{Row: to.Key, Version: version, Snapshot: kind == Snapshot}
		if kind == Incremental && owner != "" {
			if tenant != "" && tenant != owner {
				return nil // none of those may read the row
			}
			tenant = owner
		}
		if owner != "" && tenant != owner { // its publisher may not have known
			h.trouble.Warn(h.opts.Logger, time.Now(), "a tenant's row was published for others than its tenant",
				"entity", trouble.Shortened(entity), "tenant", trouble.Shortened(owner), "for", trouble.Shortened(tenant))
		}
		if tenant != "" {
			to.Label, to.Names = eventloop.LabelTenant, []string{tenant}
		}
	}
	if h.rows == nil {
		if err := h.fitsPeers(f.Wire(), to); err != nil {
			return err
		}
	}
	if err := h.send(f, to, &h.counters.rows); err != nil {
		if !r.stored {
			return err
		}
		h.engine.Lost(eventloop.Gap{}, to, eventloop.LossMemory) // its publisher is told that it is stored
	}
	if h.rows == nil {
		h.toPeers(f, to)
	}
	if h.rows != nil && kind == Snapshot { // its version is not below its frame's
		h.rows.Put(r.Seq, tenant, entity, rowID, f.Wire())
	}
	return nil
}

// rowHeader is what a row frame takes besides its names and payload.
const rowHeader = 5

func checkRow(kind RowKind, entity, rowID string) error {
	switch {
	case kind != Snapshot && kind != Incremental:
		return &FieldError{Field: "kind", Message: "must be a snapshot (0x10) or an update (0x11)"}
	case entity == "":
		return &FieldError{Field: "entity", Message: "must not be empty"}
	case rowID == "":
		return &FieldError{Field: "row", Message: "must not be empty"}
	}
	return nil
}

// BroadcastBinary sends binary messages to every client, in order and in as few writes as
// possible. One that is too large is ErrTooLarge, and none is sent. A feed that has several
// at once should hand them over in one call. More than Room can push each other out of a
// loop's queue. When memory runs out on the way, the error says how many were sent.
func (h *Hub) BroadcastBinary(messages ...[]byte) error {
	var largest []byte
	for _, b := range messages {
		if len(b) > len(largest) {
			largest = b
		}
	}
	if err := h.admit(len(largest)); err != nil {
		return err
	}
	if err := h.fitsPeers(largest, nil); err != nil {
		return err
	}
	defer h.engine.Flush()
	for i, b := range messages {
		f := eventloop.NewFrame(ws.OpBinary, b)
		f.Kind = eventloop.KindBinary
		if h.engine.Queue(f, nil).Refused {
			return sentOnly(i, len(messages))
		}
		h.toPeers(f, nil)
		h.counters.binary.Add(1)
	}
	return nil
}

// sentOnly is ErrOverloaded, and says how many messages were sent before it.
func sentOnly(n, of int) error {
	if n == 0 {
		return ErrOverloaded
	}
	return fmt.Errorf("%d of %d messages were sent: %w", n, of, ErrOverloaded)
}

// SendBinary sends one binary message to the named clients; ids that are nobody's, or
// nobody's any more, are passed over.
func (h *Hub) SendBinary(b []byte, ids ...uint64) error {
	if len(ids) == 0 {
		return nil
	}
	if err := h.admit(len(b)); err != nil {
		return err
	}
	to := &eventloop.Audience{Clients: distinct(slices.Clone(ids))}
	f := eventloop.NewFrame(ws.OpBinary, b)
	f.Kind = eventloop.KindBinary
	return h.sendEverywhere(f, to, &h.counters.binary)
}
