package auth

import (
	"context"
	"slices"

	"github.com/busbar-ws/busbar/hub"
)

// checkChunk is how many cached sessions are compared with the store by one question.
const checkChunk = 1000

// revalidate compares every cached session with the store.
func (s *Sessions) revalidate(ctx context.Context) (err error) {
	s.memo.epoch.Add(1) // before the cache is looked at, see memo.epoch
	s.memo.cache.chunks(checkChunk, func(chunk []known) bool {
		keys := make([]string, len(chunk))
		for i := range chunk {
			keys[i] = chunk[i].key
		}
		var found map[string]*hub.Identity
		found, err = s.store.findAll(ctx, keys)
		if err == nil {
			s.settle(chunk, found)
		}
		return err == nil
	})
	return err
}

// settle drops the sessions of chunk that have ended. One that was only prolonged gets
// a new identity for connections to come; those it has are given it when the end comes that
// they know.
func (s *Sessions) settle(chunk []known, found map[string]*hub.Identity) {
	s.ending.Lock()
	defer s.ending.Unlock()
	var ended []*hub.Identity
	for _, k := range chunk {
		id := found[k.key]
		switch {
		case id != nil && sameIdentity(id, k.id):
		case id != nil && prolonged(k.id, id): // also when the end has just come: they are being given it
			if !id.Expires.IsZero() {
				id.Token = k.id.Token
			}
			s.memo.cache.put(k.key, id, 0, thisMoment())
		default:
			// It may have been replaced since the chunk was taken: whichever identity
			// went out, its connections end.
			ids := s.memo.cache.drop(k.key)
			if !slices.Contains(ids, k.id) {
				ids = append(ids, k.id)
			}
			ended = append(ended, ids...)
		}
	}
	if len(ended) > 0 { // they are out of the cache: nobody will tell of them again
		s.guard("while telling of revoked sessions", func() { s.opts.OnRevoked(ended) })
	}
}

// prolonged reports whether only the expiry differs, and is later.
func prolonged(old, now *hub.Identity) bool {
	if old.UserID != now.UserID || old.Tenant != now.Tenant || old.Expires.IsZero() {
		return false
	}
	return now.Expires.IsZero() || now.Expires.After(old.Expires)
}
