package auth

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/hub"
)

func newMemo(t *testing.T, ended func([]*hub.Identity)) *memo {
	t.Helper()
	m := &memo{cache: newCache(100), flights: newFlights(time.Minute, slog.New(slog.DiscardHandler)), maxToken: 100, ended: ended}
	t.Cleanup(m.flights.close)
	return m
}

// docs/protocol.md section 4: a session that is revoked while it is being looked up isn't remembered,
// and whoever was given it meanwhile is told.
func TestRevocationDuringLookup(t *testing.T) {
	for name, second := range map[string]error{
		"gone":        hub.ErrUnauthorized,
		"can't tell":  errors.New("file is gone"),
		"still there": nil,
	} {
		var ended []*hub.Identity
		m := newMemo(t, func(ids []*hub.Identity) { ended = append(ended, ids...) })
		var given *hub.Identity
		asked := 0
		id, err := m.authenticate(t.Context(), "tok", func(context.Context) (*hub.Identity, error) {
			if asked++; asked == 1 {
				m.epoch.Add(1)
				return &hub.Identity{UserID: "u"}, nil
			}
			given, _ = m.cached("tok") // what an event loop may have seen by now
			return &hub.Identity{UserID: "u"}, second
		})
		if asked != 2 || !errors.Is(err, second) {
			t.Errorf("%s: asked %d times, %v", name, asked, err)
		}
		now, _ := m.cached("tok")
		switch {
		case second == nil && (id == nil || now != id || given != id || len(ended) != 0):
			t.Errorf("%s: %+v, cached %+v, ended %v", name, id, now, ended)
		case second != nil && (id != nil || now != nil || len(ended) != 1 || ended[0] != given):
			t.Errorf("%s: %+v, cached %+v, given %p, ended %v", name, id, now, given, ended)
		}
	}
}

func TestRevocationsWithoutEnd(t *testing.T) {
	m := newMemo(t, nil)
	_, err := m.authenticate(t.Context(), "tok", func(context.Context) (*hub.Identity, error) {
		m.epoch.Add(1)
		return &hub.Identity{UserID: "u"}, nil
	})
	if _, ok := m.cached("tok"); ok || !errors.Is(err, ErrBusy) {
		t.Errorf("%v, cached %v", err, ok)
	}
}

// A token that is verified while its key is withdrawn is verified again, without that key, and not remembered.
func TestKeyWithdrawnDuringVerification(t *testing.T) {
	path, secret := filepath.Join(t.TempDir(), "key"), []byte(strings.Repeat("s", minSecret))
	if err := os.WriteFile(path, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := NewJWT(JWTOptions{KeyFile: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "u", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	_, err = j.memo.authenticate(t.Context(), token, func(ctx context.Context) (*hub.Identity, error) {
		id, err := j.verify(ctx, token)
		j.replace(&keyRing{})
		return id, err
	})
	if _, known := j.Cached(token); known || !errors.Is(err, hub.ErrUnauthorized) {
		t.Errorf("%v, remembered: %v", err, known)
	}
}
