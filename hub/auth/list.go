package auth

import (
	"context"
	"database/sql"
	"encoding/json"
	"iter"
	"time"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

// Session describes a session without its token.
type Session struct {
	ID      string // SessionID of its token; Revoke takes it
	UserID  string
	Tenant  string
	Device  string
	Created time.Time
	Expires time.Time // zero = never
}

// sessionJSON has absent names as null, and times in Unix seconds; an end of 0 is never.
type sessionJSON struct {
	ID      string  `json:"id"`
	UserID  string  `json:"user_id"`
	Tenant  *string `json:"tenant_id"`
	Device  *string `json:"device"`
	Created int64   `json:"created_at"`
	Expires int64   `json:"expires_at"`
}

func (s Session) MarshalJSON() ([]byte, error) {
	return json.Marshal(sessionJSON{s.ID, s.UserID, nullable(s.Tenant), nullable(s.Device), s.Created.Unix(), unixOrZero(s.Expires)})
}

func (s *Session) UnmarshalJSON(text []byte) error {
	var j struct {
		ID      string `json:"id"`
		UserID  string `json:"user_id"`
		Tenant  name   `json:"tenant_id"`
		Device  name   `json:"device"`
		Created int64  `json:"created_at"`
		Expires int64  `json:"expires_at"`
	}
	if err := strictjson.Unmarshal(text, &j); err != nil {
		return err
	}
	*s = Session{ID: j.ID, UserID: j.UserID, Tenant: string(j.Tenant), Device: string(j.Device), Created: time.Unix(j.Created, 0), Expires: expiry(j.Expires)}
	return nil
}

func nullable(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// List yields all sessions, ended ones included, in no meaningful order. The loop ends
// after the first error.
func (s *Sessions) List(ctx context.Context) iter.Seq2[Session, error] {
	return func(yield func(Session, error) bool) {
		for found, err := range s.store.list(ctx) {
			if !yield(found.Session, err) {
				return
			}
		}
	}
}

const selectPage = `SELECT token, user_id, tenant_id, device, created_at, expires_at FROM _pylon_sessions
	WHERE token > ? ORDER BY token LIMIT ?`

func scanPage(rows *sql.Rows, err error) ([]listed, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	page := make([]listed, 0, listPage)
	for rows.Next() {
		found, err := scanListed(rows)
		if err != nil {
			return nil, err
		}
		page = append(page, found)
	}
	return page, rows.Err()
}

func scanListed(rows *sql.Rows) (found listed, err error) {
	var tenant, device sql.NullString
	var created int64
	var expires any
	if err = rows.Scan(&found.key, &found.UserID, &tenant, &device, &created, &expires); err != nil {
		return found, err
	}
	found.ID = SessionID(found.key)
	found.Tenant, found.Device = tenant.String, device.String
	found.Created, found.Expires = time.Unix(created, 0), expiry(expires)
	return found, nil
}
