package auth

import (
	"context"
	"database/sql"
	"iter"
	"time"
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

// listPage is how many sessions are read at once. No statement stays open while the
// caller looks at them: a reader that stands still keeps the -wal file growing.
const listPage = 500

// List yields all sessions, ended ones included, in no meaningful order. The loop ends
// after the first error.
func (s *Sessions) List(ctx context.Context) iter.Seq2[Session, error] {
	return func(yield func(Session, error) bool) {
		for found, err := range s.list(ctx) {
			if !yield(found.Session, err) {
				return
			}
		}
	}
}

type listed struct {
	Session
	token string
}

func (s *Sessions) list(ctx context.Context) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		for after := ""; ; {
			page, err := s.page(ctx, after)
			if err != nil {
				yield(listed{}, err)
				return
			}
			for _, found := range page {
				if !yield(found, nil) {
					return
				}
			}
			if len(page) < listPage {
				return
			}
			after = page[len(page)-1].token
		}
	}
}

func (s *Sessions) page(ctx context.Context, after string) (page []listed, err error) {
	err = s.query(ctx, "list sessions of", func(db querier) error {
		page, err = scanPage(db.QueryContext(ctx, selectPage, after, listPage))
		return err
	})
	return page, err
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
	if err = rows.Scan(&found.token, &found.UserID, &tenant, &device, &created, &expires); err != nil {
		return found, err
	}
	found.ID = SessionID(found.token)
	found.Tenant, found.Device = tenant.String, device.String
	found.Created, found.Expires = time.Unix(created, 0), expiry(expires)
	return found, nil
}
