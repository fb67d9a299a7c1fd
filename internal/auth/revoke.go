package auth

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrNoSession is returned by Revoke when nothing matches.
var ErrNoSession = errors.New("no such session")

// ErrAmbiguous is returned by Revoke when an id's start names several sessions.
var ErrAmbiguous = errors.New("more than one session has an id that starts so")

// Revoke deletes a session, named by its token, or by its ID or the first 8 digits or
// more of that. OnRevoked has been called when it returns, if the session was in use here.
func (s *Sessions) Revoke(ctx context.Context, tokenOrID string) error {
	if s.opts.ReadOnly {
		return ErrReadOnly
	}
	err := s.delete(ctx, tokenOrID)
	if !errors.Is(err, ErrNoSession) || !looksLikeID(tokenOrID) {
		return err
	}
	token, err := s.tokenOf(ctx, tokenOrID)
	if err != nil {
		return err
	}
	return s.delete(ctx, token)
}

func (s *Sessions) delete(ctx context.Context, token string) error {
	db, err := s.ready()
	if err != nil {
		return err
	}
	result, err := db.pool.ExecContext(ctx, `DELETE FROM _pylon_sessions WHERE token = ?`, token)
	if err != nil {
		return explain("remove session from", s.path, err)
	}
	if n, err := result.RowsAffected(); err != nil {
		return explain("remove session from", s.path, err)
	} else if n == 0 {
		return ErrNoSession
	}
	s.memo.epoch.Add(1) // before the cache is touched, see memo.epoch
	if ids := s.memo.cache.drop(token); len(ids) > 0 {
		s.opts.OnRevoked(ids)
	}
	return nil
}

func looksLikeID(s string) bool {
	if len(s) < minIDLen || len(s) > idLen {
		return false
	}
	_, err := hex.DecodeString(s + strings.Repeat("0", len(s)%2))
	return err == nil
}

func (s *Sessions) tokenOf(ctx context.Context, id string) (token string, err error) {
	id = strings.ToLower(id)
	for found, err := range s.list(ctx) {
		switch {
		case err != nil:
			return "", err
		case !strings.HasPrefix(found.ID, id):
		case token != "":
			return "", fmt.Errorf("session %s: %w", id, ErrAmbiguous)
		default:
			token = found.token
		}
	}
	if token == "" {
		return "", ErrNoSession
	}
	return token, nil
}
