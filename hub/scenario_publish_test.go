package hub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// publish WHAT …
func (s *scenario) publish(rest string) error {
	what, rest, _ := strings.Cut(rest, " ")
	switch what {
	case "change":
		return s.publishChange(rest)
	case "changes":
		return s.publishMany(rest)
	case "presence":
		return s.hub.PublishPresence("", []byte(rest))
	case "presence-to":
		tenant, object, _ := strings.Cut(rest, " ")
		return s.hub.PublishPresence(tenant, []byte(object))
	case "topic":
		topic, data, _ := strings.Cut(rest, " ")
		return s.hub.PublishTopic("", topic, []byte(data))
	case "topic-to":
		tenant, rest, _ := strings.Cut(rest, " ")
		topic, data, _ := strings.Cut(rest, " ")
		return s.hub.PublishTopic(tenant, topic, []byte(data))
	case "snapshot":
		return s.publishRow(Snapshot, rest)
	case "update":
		return s.publishRow(Incremental, rest)
	case "binary":
		payload, _, err := quoted(rest)
		if err != nil {
			return err
		}
		return s.hub.BroadcastBinary([]byte(payload))
	}
	return fmt.Errorf("%q can't be published", what)
}

// publish change {…} [=> seq N]
func (s *scenario) publishChange(rest string) error {
	text, want, checked := strings.Cut(rest, " => seq ")
	c, err := change(text)
	if err != nil {
		return err
	}
	seq, err := s.hub.PublishChange(c)
	if err == nil && checked && strconv.FormatUint(seq, 10) != want {
		return fmt.Errorf("seq %d, want %s", seq, want)
	}
	return err
}

// publish changes N of B bytes
func (s *scenario) publishMany(rest string) error {
	var n, size int
	if _, err := fmt.Sscanf(rest, "%d of %d bytes", &n, &size); err != nil {
		return err
	}
	data := []byte(strconv.Quote(strings.Repeat("x", size)))
	for range n {
		if _, err := s.hub.PublishChange(Change{Entity: "Bulk", RowID: "b", Kind: Update, Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// publish snapshot|update [TENANT:]ENTITY/ROW "payload"
func (s *scenario) publishRow(kind RowKind, rest string) error {
	row, payload, _ := strings.Cut(rest, " ")
	tenant, name, owned := strings.Cut(row, ":")
	if !owned {
		tenant, name = "", row
	}
	entity, id, _ := strings.Cut(name, "/")
	value, _, err := quoted(payload)
	if err != nil {
		return err
	}
	return s.hub.PublishRow(kind, tenant, entity, id, []byte(value))
}

// fetched is a call of the hub's SnapshotFetcher that the scenario has yet to answer.
type fetched struct {
	row    string
	answer chan fetchAnswer
}

type fetchAnswer struct {
	payload string
	ok      bool
	err     error
}

func (s *scenario) fetchLater(ctx context.Context, _ *Identity, entity, rowID string) ([]byte, bool, error) {
	f := fetched{row: entity + "/" + rowID, answer: make(chan fetchAnswer, 1)}
	s.fetches <- f
	select {
	case a := <-f.answer:
		return []byte(a.payload), a.ok, a.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// fetch ENTITY/ROW answers "payload", denies or fails; or starts, and is answered by a later line
func (s *scenario) fetch(rest string) error {
	row, answer, _ := strings.Cut(rest, " ")
	f, err := s.nextFetch()
	switch {
	case err != nil:
		return err
	case f.row != row:
		return fmt.Errorf("%s was asked for", f.row)
	case answer == "starts":
		s.started = append(s.started, f)
		return nil
	case answer == "denies":
		f.answer <- fetchAnswer{}
		return nil
	case answer == "fails":
		f.answer <- fetchAnswer{err: errors.New("the service is down")}
		return nil
	}
	payload, _, err := quoted(strings.TrimPrefix(answer, "answers "))
	f.answer <- fetchAnswer{payload, true, nil}
	return err
}

func (s *scenario) nextFetch() (fetched, error) {
	if len(s.started) > 0 {
		f := s.started[0]
		s.started = s.started[1:]
		return f, nil
	}
	select {
	case f := <-s.fetches:
		return f, nil
	case <-time.After(patience):
		return fetched{}, errors.New("nothing was asked for")
	}
}
