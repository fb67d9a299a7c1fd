package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/auth"
)

// adminToken is the admin token and where it came from. Never log the token.
type adminToken struct {
	token   string
	file    string // empty when it came from the environment
	warning string
}

func loadAdminToken(cfg Config, dir dataDir) (adminToken, error) {
	token, warning, err := auth.AdminToken(dir.path, cfg.AdminTokenFile, cfg.AdminToken)
	a := adminToken{token: token, warning: warning}
	switch {
	case cfg.AdminTokenFile != "":
		a.file = cfg.AdminTokenFile
	case cfg.AdminToken == "":
		a.file = dir.adminToken()
	}
	return a, err
}

// openAuth makes the authenticator that -auth names, with the admin token in front.
func (srv *server) openAuth() (hub.Authenticator, error) {
	a, err := srv.openTokens()
	if err != nil {
		return nil, err
	}
	return auth.WithAdmin(a, srv.admin.token), nil
}

func (srv *server) openTokens() (hub.Authenticator, error) {
	cfg := srv.cfg
	switch cfg.Auth {
	case authJWT:
		a, err := auth.NewJWT(auth.JWTOptions{
			KeyFile: cfg.JWTKey, JWKSURL: cfg.JWTJWKS, Issuer: cfg.JWTIssuer, Audience: cfg.JWTAudience,
			UserClaim: cfg.JWTUserClaim, TenantClaim: cfg.JWTTenantClaim, AdminClaim: cfg.JWTAdminClaim,
			Log: srv.log,
		})
		if err != nil {
			return nil, fmt.Errorf("-auth jwt: %w", err)
		}
		srv.closers = append(srv.closers, a.Close)
		return a, nil
	case authHTTP:
		a, err := auth.NewHTTP(auth.HTTPOptions{
			URL: cfg.AuthURL, Timeout: cfg.AuthTimeout,
			CacheTTL: max(cfg.AuthCache, time.Nanosecond), // zero would be the default
			Log:      srv.log,
		})
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

func (srv *server) openSessions() (*auth.Sessions, error) {
	path, readOnly := srv.dir.database(), false
	if srv.cfg.SessionsDB != "" {
		path, readOnly = srv.cfg.SessionsDB, true
	}
	s, err := auth.OpenSessions(path, auth.SessionOptions{
		ReadOnly: readOnly, GuestTTL: srv.cfg.GuestTTL, Log: srv.log, OnRevoked: srv.revoked,
	})
	if err != nil {
		return nil, err
	}
	srv.sessions = s
	srv.closers = append(srv.closers, s.Close)
	return s, nil
}

// revoked ends the connections of sessions that are sessions no more.
func (srv *server) revoked(ids []*hub.Identity) {
	if srv.hub == nil {
		return // not open yet: nobody is connected
	}
	gone := make(map[*hub.Identity]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	srv.hub.CloseIdentity(func(id *hub.Identity) bool { return gone[id] }, "session revoked")
}
