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

// call is safe from any goroutine.
func (d *daemon) call(ctx context.Context, method, path, mime string, body []byte) ([]byte, error) {
	return d.callAs(ctx, d.admin, method, path, mime, body)
}

func (d *daemon) callAs(ctx context.Context, token, method, path, mime string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+d.api+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if mime != "" {
		r.Header.Set("Content-Type", mime)
	}
	resp, err := d.http.Do(r)
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

func (d *daemon) send(ctx context.Context, s *stream, n uint64, size int) (err error) {
	switch s.kind {
	case changes, bulks:
		return d.sendChanges(ctx, s, n, s.body, size)
	case topics:
		_, err = d.call(ctx, "POST", "/v1/topics/"+s.key, mimeJSON, []byte("{"+jsonNote(s.name, n, size)+"}"))
	case presence:
		_, err = d.call(ctx, "POST", "/v1/presence", mimeJSON, []byte(`{"type":"presence",`+jsonNote(s.name, n, size)+"}"))
	case broadcasts:
		_, err = d.call(ctx, "POST", "/v1/broadcast", mimeBytes, byteNote(n, size))
	case rows:
		path := "/v1/rows/" + rowEntity + "/" + s.key
		if isUpdate(n) {
			path += "?update=1"
		}
		_, err = d.call(ctx, "PUT", path, mimeBytes, byteNote(n, size))
	default:
		err = fmt.Errorf("%s isn't published by HTTP", s.name)
	}
	return err
}

func (d *daemon) sendChanges(ctx context.Context, s *stream, n uint64, count, size int) error {
	return s.sendChanges(n, count, size, func(mime string, body []byte) ([]byte, error) {
		return d.call(ctx, "POST", "/v1/changes", mime, body)
	})
}

// sendChanges notes what the publisher is answered by whoever takes the body.
func (s *stream) sendChanges(n uint64, count, size int, post func(mime string, body []byte) ([]byte, error)) error {
	var body []byte
	mime := mimeJSON
	if count > 1 {
		mime = "application/x-ndjson"
	}
	for i := range uint64(count) {
		body = append(append(body, changeOf(s, n+i, size)...), '\n')
	}
	text, err := post(mime, body)
	if err != nil {
		return err
	}
	var answer struct {
		Seq      uint64
		FirstSeq uint64 `json:"first_seq"`
		LastSeq  uint64 `json:"last_seq"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return wronged("the answer to changes: %w", err)
	}
	first := answer.Seq
	if count > 1 {
		first = answer.FirstSeq
		if answer.LastSeq-first+1 != uint64(count) {
			return wronged("a body of %d changes of %s was answered %s", count, s.name, text)
		}
	}
	s.acknowledged(ack{n, uint64(count), first})
	return nil
}

func changeOf(s *stream, n uint64, size int) []byte {
	more := ""
	if s.opIDs {
		more = fmt.Sprintf(`,"op_id":"%s/%d"`, s.name, n)
	}
	if s.toUser != "" {
		more += fmt.Sprintf(`,"audience":{"users":[%q]}`, s.toUser)
	}
	return fmt.Appendf(nil, `{"entity":%q,"row_id":"x","kind":"update","data":{%s}%s}`, s.key, jsonNote(s.name, n, size), more)
}

// pull gives all that the log has behind a seq, as it was sent.
func (d *daemon) pull(ctx context.Context, token string, since uint64, got func([]byte) error) error {
	for late := time.Now().Add(4 * patience); ; {
		text, err := d.callAs(ctx, token, "GET", fmt.Sprintf("/api/sync/pull?since=%d&limit=1000", since), "", nil)
		var no *refusal
		if d.shared && errors.As(err, &no) && no.status == http.StatusServiceUnavailable && time.Now().Before(late) && pause(ctx, 100*time.Millisecond) {
			continue
		}
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
func (d *daemon) session(ctx context.Context, user string) (token string, err error) {
	answer, err := d.call(ctx, "POST", "/v1/sessions", mimeJSON, fmt.Appendf(nil, `{"user_id":%q,"ttl_seconds":86400}`, user))
	if err != nil {
		return "", err
	}
	var made struct{ Token string }
	err = json.Unmarshal(answer, &made)
	return made.Token, err
}

func (d *daemon) revoke(ctx context.Context, token string) error {
	_, err := d.call(ctx, "DELETE", "/v1/sessions/"+url.PathEscape(token), "", nil)
	return err
}
