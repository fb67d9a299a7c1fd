package auth

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// A lookup that panics is an error for those who wait for it, counted by the hub; the next
// one is asked as ever.
func TestPanickingLookup(t *testing.T) {
	m := newMemo(t, nil)
	var callers sync.WaitGroup
	for range 5 {
		callers.Go(func() {
			_, err := m.authenticate(t.Context(), "bomb", func(context.Context) (*hub.Identity, error) { panic("in a lookup") })
			if !errors.Is(err, hub.ErrPanicked) || errors.Is(err, hub.ErrUnauthorized) {
				t.Errorf("got %v", err)
			}
		})
	}
	callers.Wait()
	id, err := m.authenticate(t.Context(), "fine", func(context.Context) (*hub.Identity, error) { return &hub.Identity{UserID: "u"}, nil })
	if err != nil || id.UserID != "u" {
		t.Errorf("the next lookup: %v, %v", id, err)
	}
}
