package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/datadir"
)

// adminToken is the admin token and where it came from. Never log the token.
type adminToken struct {
	token   string
	file    string // empty when it came from the environment
	warning string
}

func loadAdminToken(cfg *options, dir datadir.Dir) (adminToken, error) {
	token, warning, err := auth.AdminToken(string(dir), cfg.AdminTokenFile, cfg.AdminToken)
	a := adminToken{token: token, warning: warning}
	switch {
	case cfg.AdminTokenFile != "":
		a.file = cfg.AdminTokenFile
	case cfg.AdminToken == "":
		a.file = dir.AdminToken()
	}
	return a, err
}

// openAuth makes the authenticator that -auth names, with the admin token in front.
func (srv *server) openAuth() (hub.Authenticator, error) {
	a, err := srv.openTokens()
	if err != nil {
		return nil, err
	}
	srv.reloading.admin = auth.WithAdmin(a, srv.admin.token)
	return srv.reloading.admin, nil
}

func (srv *server) openTokens() (hub.Authenticator, error) {
	cfg := srv.cfg
	switch cfg.Auth {
	case authJWT:
		o := cfg.JWT
		o.Log = srv.log
		a, err := auth.NewJWT(o)
		if err != nil {
			return nil, fmt.Errorf("-auth jwt: %w", err)
		}
		srv.reloading.jwt = a
		srv.closers = append(srv.closers, a.Close)
		return a, nil
	case authHTTP:
		o := cfg.AuthHTTP
		o.Timeout, o.Log = cfg.Hub.AuthTimeout, srv.log
		o.CacheTTL = max(o.CacheTTL, time.Nanosecond) // zero would be the default
		a, err := auth.NewHTTP(o)
		if err != nil {
			return nil, fmt.Errorf("-auth http: %w", err)
		}
		srv.closers = append(srv.closers, a.Close)
		return a, nil
	case authNone:
		srv.log.Warn("AUTHENTICATION IS OFF (-auth none): everyone who can reach the WebSocket address is let in, reads every broadcast and may relay")
		return auth.None{}, nil
	case authSessions:
		return srv.openSessions()
	}
	return nil, errors.New("no authenticator")
}

// tokensFrom is where clients' tokens are from, as the demo page is told it.
func (o *options) tokensFrom() string {
	if o.Auth == authSessions && o.SessionsDB != "" {
		return "sessions-db"
	}
	return o.Auth
}

// otherAuth is the setting by which clients sign in otherwise than by sessions that Busbar makes; empty: there is none.
func (o *options) otherAuth() string {
	switch from := o.tokensFrom(); from {
	case authSessions:
		return ""
	case "sessions-db":
		return "-sessions-db"
	default:
		return "-auth " + from
	}
}

// bucketPatience is how long the start waits for NATS to have a bucket, once it has the change log.
const bucketPatience = time.Minute

func (srv *server) openSessions() (s *auth.Sessions, err error) {
	o := auth.SessionOptions{CopyDir: string(srv.dir), GuestTTL: srv.cfg.Guests.TTL, Log: srv.log, OnRevoked: srv.ends.Revoked}
	switch nodes := &srv.cfg.Log.NATS; {
	case srv.cfg.SessionsDB != "":
		o.ReadOnly = true
		s, err = auth.OpenSessions(srv.cfg.SessionsDB, o)
	case srv.nats != nil:
		ctx, cancel := context.WithTimeout(context.Background(), bucketPatience)
		defer cancel()
		s, err = auth.OpenBucket(ctx, auth.BucketOptions{Conn: srv.nats, Name: nodes.Stream, Replicas: nodes.Replicas, PublishTimeout: nodes.Timeout}, o)
	default:
		s, err = auth.OpenSessions(srv.dir.Database(), o)
	}
	if err != nil {
		return nil, err
	}
	srv.sessions = s
	srv.closers = append(srv.closers, s.Close)
	return s, nil
}
