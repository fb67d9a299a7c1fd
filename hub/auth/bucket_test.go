package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// docs/cluster.md: sessions have a bound. Where it is reached none are made, at any node, and those that there are can
// be used and revoked; then there is room again.
func TestBucketThatIsFull(t *testing.T) {
	t.Parallel()
	server, _ := startNATS(t, t.TempDir(), server.RANDOM_PORT)
	o := auth.SessionOptions{PollInterval: 20 * time.Millisecond}
	small := auth.BucketOptions{Name: "test", MaxBytes: 10_000}
	s, other := openBucketOf(t, server, small, o), openBucketOf(t, server, small, o)
	var tokens []string
	var err error
	for err == nil && len(tokens) < 1000 {
		var token string
		if token, _, err = s.Create(t.Context(), strings.Repeat("u", 1000), "", time.Hour, ""); err == nil {
			tokens = append(tokens, token)
		}
	}
	if !errors.Is(err, auth.ErrFull) || len(tokens) < 5 || len(tokens) > 10 {
		t.Fatalf("after %d sessions: %v", len(tokens), err)
	}
	eventually(t, "another node knows", func() bool {
		token, _, err := other.Create(t.Context(), "u", "", time.Hour, "")
		if err == nil {
			must(t, other.Revoke(t.Context(), token))
		}
		return errors.Is(err, auth.ErrFull)
	})
	for _, token := range tokens {
		authenticate(t, other, token)
		must(t, s.Revoke(t.Context(), token))
	}
	eventually(t, "there is room again", func() bool {
		_, _, err := s.Create(t.Context(), "u", "", time.Hour, "")
		return err == nil
	})
}

// docs/cluster.md: while NATS is away those who are known stay, and about others nobody can say. Whose session
// was revoked meanwhile, or while this node alone was away, has to go afterwards, and nobody else.
func TestRevokedWhileNATSWasAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, stop := startNATS(t, dir, wstest.FreePort(t))
	port := server.Addr().(*net.TCPAddr).Port
	var gone revoked
	s := openBucket(t, server, auth.SessionOptions{OnRevoked: gone.add, PollInterval: 20 * time.Millisecond})
	var tokens []string
	var ids []*hub.Identity
	for i := range 20 {
		token, _, err := s.Create(t.Context(), fmt.Sprint("u", i), "", time.Hour, "")
		must(t, err)
		tokens = append(tokens, token)
		if i > 0 {
			ids = append(ids, authenticate(t, s, token))
		}
	}
	stop()
	eventually(t, "NATS is away", func() bool { return unansweredYet(s, tokens[0]) })
	if again := authenticate(t, s, tokens[1]); again != ids[0] {
		t.Error("who is known isn't any more")
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := s.Create(soon, "u", "", 0, ""); err == nil {
		t.Error("a session was made without NATS")
	}
	if err := s.Revoke(t.Context(), tokens[1]); err == nil || errors.Is(err, auth.ErrNoSession) {
		t.Errorf("revoked without NATS: %v", err)
	}
	// Another node reaches it before this one does.
	elsewhere, stop := startNATS(t, dir, -1)
	other := openBucket(t, elsewhere, auth.SessionOptions{})
	for _, token := range tokens[1:11] {
		must(t, other.Revoke(t.Context(), token))
	}
	must(t, other.Close())
	if gone.count() != 0 {
		t.Fatal("this node was reached: the test shows nothing")
	}
	stop()
	startNATS(t, dir, port)
	eventually(t, "ten are told of", func() bool { return gone.count() == 10 })
	for i, id := range ids {
		if gone.has(id) != (i < 10) {
			t.Errorf("session %d: revoked: %t", i, gone.has(id))
		}
	}
	authenticate(t, s, tokens[0])
	authenticate(t, s, tokens[19])
}

// -nats-timeout: whoever asks for a session while NATS has to begin again waits, and gets one.
func TestCreatedWhileNATSComesBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, stop := startNATS(t, dir, wstest.FreePort(t))
	s := openBucketOf(t, server, auth.BucketOptions{Name: "test", PublishTimeout: wstest.Patience}, auth.SessionOptions{})
	port := server.Addr().(*net.TCPAddr).Port
	stop()
	eventually(t, "NATS is away", func() bool { return unansweredYet(s, "other") })
	created := make(chan error)
	go func() {
		token, _, err := s.Create(t.Context(), "u", "", time.Hour, "")
		if err == nil {
			_, err = s.Authenticate(t.Context(), token)
		}
		created <- err
	}()
	startNATS(t, dir, port)
	must(t, <-created)
}

func unansweredYet(s *auth.Sessions, token string) bool {
	_, err := s.Authenticate(context.Background(), token)
	return err != nil && !errors.Is(err, hub.ErrUnauthorized)
}

// All sessions end at nodes that run, also where NATS' stream was purged by another tool. A node that hasn't heard of it
// ends one that is revoked there.
func TestEndAll(t *testing.T) {
	t.Parallel()
	server, _ := startNATS(t, t.TempDir(), server.RANDOM_PORT)
	var gone, deaf revoked
	s := openBucket(t, server, auth.SessionOptions{OnRevoked: gone.add, PollInterval: 20 * time.Millisecond})
	other := openBucket(t, server, auth.SessionOptions{OnRevoked: deaf.add, PollInterval: time.Hour})
	var tokens []string
	for i := range 5 {
		token, _, err := s.Create(t.Context(), fmt.Sprint("u", i), "", time.Hour, "")
		must(t, err)
		authenticate(t, s, token)
		authenticate(t, other, token)
		tokens = append(tokens, token)
	}
	conn, err := nats.Connect(server.ClientURL())
	must(t, err)
	defer conn.Close()
	must(t, auth.EndAll(t.Context(), conn, "none"))
	must(t, auth.EndAll(t.Context(), conn, "test"))
	eventually(t, "all are told of", func() bool { return gone.count() == len(tokens) })
	for _, token := range tokens {
		unauthorized(t, s, token)
	}
	must(t, other.Revoke(t.Context(), tokens[0]))
	if deaf.count() != 1 {
		t.Errorf("%d are told of where one was revoked", deaf.count())
	}
	if err := other.Revoke(t.Context(), tokens[0]); !errors.Is(err, auth.ErrNoSession) {
		t.Errorf("once more: %v", err)
	}
	after, _, err := s.Create(t.Context(), "u", "", time.Hour, "")
	must(t, err)
	authenticate(t, s, after)
	authenticate(t, other, after)
}
