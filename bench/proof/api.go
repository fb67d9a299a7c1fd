package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// refusal is an answer with another status than 2xx.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("status %d: %.300s", r.status, r.body) }

// statusOf is what a call was refused with, 0 when it wasn't.
func statusOf(err error) int {
	if r := (*refusal)(nil); errors.As(err, &r) {
		return r.status
	}
	return 0
}

// call is safe from any goroutine.
func (n *node) call(ctx context.Context, method, path, mime string, body []byte) ([]byte, error) {
	return n.callAs(ctx, n.admin, method, path, mime, body)
}

func (n *node) callAs(ctx context.Context, token, method, path, mime string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+n.api+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", mime)
	resp, err := n.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("calling the API: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the API's answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return answer, fmt.Errorf("%s %s: %w", method, path, &refusal{resp.StatusCode, string(answer)})
	}
	return answer, nil
}

const mimeJSON, mimeBytes = "application/json", "application/octet-stream"

// send publishes what a stream has from number on, of so many bytes each. It is how publishers of one node do that.
func (n *node) send(ctx context.Context, s *stream, number uint64, size int) (err error) {
	switch s.kind {
	case changes, bulks:
		_, err = n.sendChanges(ctx, s, number, s.body, size)
	case topics:
		_, err = n.call(ctx, "POST", "/v1/topics/"+s.name, mimeJSON, []byte("{"+jsonNote(s.name, number, size)+"}"))
	case presence:
		_, err = n.call(ctx, "POST", "/v1/presence", mimeJSON, []byte(`{"type":"presence",`+jsonNote(s.name, number, size)+"}"))
	case broadcasts:
		_, err = n.call(ctx, "POST", "/v1/broadcast", mimeBytes, byteNote(number, size))
	case rows:
		path := "/v1/rows/" + rowEntity + "/" + s.name
		if isUpdate(number) {
			path += "?update=1"
		}
		_, err = n.call(ctx, "PUT", path, mimeBytes, byteNote(number, size))
	}
	return err
}

// sendChanges notes what the publisher is answered, and gives the last of the seqs.
func (n *node) sendChanges(ctx context.Context, s *stream, number uint64, count, size int) (seq uint64, err error) {
	mime := mimeJSON
	if count > 1 {
		mime = "application/x-ndjson"
	}
	var body []byte
	for i := range uint64(count) {
		body = append(appendChange(body, s, number+i, size), '\n')
	}
	send := func() ([]byte, error) { return n.call(ctx, "POST", "/v1/changes", mime, body) }
	if s.nats {
		send = func() ([]byte, error) { return n.request(ctx, mime, body) }
	}
	text, err := send()
	if err != nil {
		return 0, err
	}
	var answer struct {
		Seq      uint64
		FirstSeq uint64 `json:"first_seq"`
		LastSeq  uint64 `json:"last_seq"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, wronged("the answer to changes: %w", err)
	}
	first := answer.Seq
	if count > 1 {
		first = answer.FirstSeq
		if answer.LastSeq-first+1 != uint64(count) {
			return 0, wronged("a body of %d changes of %s was answered %s", count, s.name, text)
		}
	}
	s.acknowledged(ack{number, uint64(count), first})
	return first + uint64(count) - 1, nil
}

func appendChange(b []byte, s *stream, n uint64, size int) []byte {
	b = fmt.Appendf(b, `{"entity":%q,"row_id":"x","kind":"update","data":{%s}`, s.name, jsonNote(s.name, n, size))
	if s.opIDs {
		b = fmt.Appendf(b, `,"op_id":"%s/%d"`, s.name, n)
	}
	if s.toUser != "" {
		b = fmt.Appendf(b, `,"audience":{"users":[%q]}`, s.toUser)
	}
	return append(b, '}')
}

// pull gives all that the log has behind a seq, as it was sent.
func (n *node) pull(ctx context.Context, token string, since uint64, got func([]byte) error) error {
	for {
		var text []byte
		err := poll(ctx, 4*patience, 100*time.Millisecond, func() (_ bool, err error) {
			text, err = n.callAs(ctx, token, "GET", fmt.Sprintf("/api/sync/pull?since=%d&limit=1000", since), "", nil)
			if n.shared && statusOf(err) == http.StatusServiceUnavailable {
				return false, nil
			}
			return true, err
		})
		if err != nil {
			return err
		}
		var page struct {
			Changes []json.RawMessage
			Cursor  struct {
				LastSeq uint64 `json:"last_seq"`
			}
			HasMore bool `json:"has_more"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return wronged("a page of changes: %w", err)
		}
		for _, change := range page.Changes {
			if err := got(change); err != nil {
				return err
			}
		}
		if !page.HasMore {
			return nil
		}
		if page.Cursor.LastSeq <= since {
			return wronged("there is more behind %d, and the cursor is %d", since, page.Cursor.LastSeq)
		}
		since = page.Cursor.LastSeq
	}
}

// session makes one for a user.
func (n *node) session(ctx context.Context, user string) (token string, err error) {
	answer, err := n.call(ctx, "POST", "/v1/sessions", mimeJSON, fmt.Appendf(nil, `{"user_id":%q,"ttl_seconds":86400}`, user))
	if err != nil {
		return "", err
	}
	var made struct{ Token string }
	err = json.Unmarshal(answer, &made)
	return made.Token, err
}

func (n *node) revoke(ctx context.Context, token string) error {
	_, err := n.call(ctx, "DELETE", "/v1/sessions/"+url.PathEscape(token), "", nil)
	return err
}
