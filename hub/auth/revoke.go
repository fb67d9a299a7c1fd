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
	err := s.revoke(ctx, s.store.key(tokenOrID))
	if !errors.Is(err, ErrNoSession) || !looksLikeID(tokenOrID) {
		return err
	}
	key, err := s.keyOf(ctx, tokenOrID)
	if err != nil {
		return err
	}
	return s.revoke(ctx, key)
}

func (s *Sessions) revoke(ctx context.Context, key string) error {
	err := s.store.remove(ctx, key)
	if err != nil && !errors.Is(err, ErrNoSession) {
		return err
	}
	if s.end(key) { // also what is nobody's session any more but by this server's memory
		return nil
	}
	return err
}

// end is for a session that is none any more. It is true when somebody may have had it here.
func (s *Sessions) end(key string) bool {
	s.ending.Lock()
	defer s.ending.Unlock()
	s.memo.epoch.Add(1) // before the cache is touched, see memo.epoch
	ids := s.memo.cache.drop(key)
	if len(ids) > 0 {
		s.opts.OnRevoked(ids)
	}
	return len(ids) > 0
}

// SessionName is a name for what Revoke was given that may be logged: a session's id.
func SessionName(tokenOrID string) string {
	if looksLikeID(tokenOrID) {
		return tokenOrID
	}
	return SessionID(tokenOrID)
}

func looksLikeID(s string) bool {
	if len(s) < minIDLen || len(s) > idLen {
		return false
	}
	_, err := hex.DecodeString(s + strings.Repeat("0", len(s)%2))
	return err == nil
}

func (s *Sessions) keyOf(ctx context.Context, id string) (key string, err error) {
	id = strings.ToLower(id)
	for found, err := range s.store.list(ctx) {
		switch {
		case err != nil:
			return "", err
		case !strings.HasPrefix(found.ID, id):
		case key != "":
			return "", fmt.Errorf("session %s: %w", id, ErrAmbiguous)
		default:
			key = found.key
		}
	}
	if key == "" {
		return "", ErrNoSession
	}
	return key, nil
}
