package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// refusal is an answer with another status than 2xx.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("status %d: %.300s", r.status, r.body) }

// call is safe from any goroutine.
func (d *daemon) call(ctx context.Context, method, path, mime string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+d.api+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+d.admin)
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

// publish sends the stream's next message, of about so many bytes.
func (d *daemon) publish(ctx context.Context, s *stream, size int) error {
	n := s.begin()
	err := d.send(ctx, s, n, size)
	s.finish(n, err == nil)
	return err
}

func (d *daemon) send(ctx context.Context, s *stream, n uint64, size int) (err error) {
	switch s.kind {
	case changes:
		_, err = d.call(ctx, "POST", "/v1/changes", mimeJSON, changeOf(s, n, size))
	case topics:
		_, err = d.call(ctx, "POST", "/v1/topics/"+s.key, mimeJSON, []byte("{"+jsonNote(s.name, n, size)+"}"))
	case presence:
		_, err = d.call(ctx, "POST", "/v1/presence", mimeJSON, []byte(`{"type":"presence",`+jsonNote(s.name, n, size)+"}"))
	case broadcasts:
		_, err = d.call(ctx, "POST", "/v1/broadcast", mimeBytes, byteNote(n, size))
	case rows:
		path := "/v1/rows/" + rowEntity + "/" + s.key
		if n%3 == 0 {
			path += "?update=1"
		}
		_, err = d.call(ctx, "PUT", path, mimeBytes, byteNote(n, size))
	default:
		err = fmt.Errorf("%s isn't published by HTTP", s.name)
	}
	return err
}

func changeOf(s *stream, n uint64, size int) []byte {
	return fmt.Appendf(nil, `{"entity":%q,"row_id":"x","kind":"update","data":{%s}}`, s.key, jsonNote(s.name, n, size))
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
