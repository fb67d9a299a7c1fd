package main

import "time"

func declareAuth(t *flagTable, cfg *Config) {
	t.Group("Authentication")
	t.Choice(&cfg.Auth, "auth", authSessions, []string{authSessions, authJWT, authHTTP, authNone},
		"who says what a token is worth: the session store, a signature, an HTTP service, "+
			"or nobody (none: every client is let in)")
	t.DataDir(&cfg.Data)
	t.Text(&cfg.SessionsDB, "sessions-db", "", "file",
		"Pylon's SQLite file, read only; one in WAL mode is copied to the data directory, whenever it has changed; "+
			"empty = busbar.db there")
	t.AdminTokenFile(&cfg.AdminTokenFile)
	t.Bool(&cfg.Guests, "guests", "let POST /api/auth/guest make sessions for new guests")
	t.Duration(&cfg.GuestTTL, "guest-ttl", 24*time.Hour, time.Minute, "how long a guest's session lives")
	declareJWT(t, cfg)
	t.URL(&cfg.AuthHTTP.URL, "auth-url", "HTTP service that -auth http asks about tokens")
	t.Duration(&cfg.Hub.AuthTimeout, "auth-timeout", cfg.Hub.AuthTimeout, 100*time.Millisecond,
		"how long finding out what a token is worth may take, a call of -auth-url included")
	t.Duration(&cfg.AuthHTTP.CacheTTL, "auth-cache", 30*time.Second, 0,
		"how long an answer about a token is believed; 0 = ask for every connection")
}

func declareJWT(t *flagTable, cfg *Config) {
	t.Text(&cfg.JWT.KeyFile, "jwt-key", "", "file",
		"file with the key that tokens are signed with: an HMAC secret, or a public key in PEM")
	t.Text(&cfg.JWT.JWKSURL, "jwt-jwks", "", "URL",
		"URL of the JSON Web Key Set with the keys that tokens are signed with")
	t.Text(&cfg.JWT.Issuer, "jwt-issuer", "", "name", "what a token's iss has to be; empty = anything")
	t.Text(&cfg.JWT.Audience, "jwt-audience", "", "name", "what a token's aud has to hold; empty = anything")
	t.Text(&cfg.JWT.UserClaim, "jwt-user-claim", "sub", "claim", "claim that holds the user's id")
	t.Text(&cfg.JWT.TenantClaim, "jwt-tenant-claim", "tenant", "claim", "claim that holds the tenant")
	t.Text(&cfg.JWT.AdminClaim, "jwt-admin-claim", "", "claim",
		"claim that makes an admin when it is true; empty = no token does")
	t.Duration(&cfg.JWT.Leeway, "jwt-leeway", 30*time.Second, 0,
		"how far the clocks of who signs tokens and of this host may differ, for exp, nbf and iat")
	t.Bool(&cfg.JWT.AllowNoExp, "jwt-allow-no-exp", "take tokens without exp, which are good for as long as their key is")
	t.Duration(&cfg.JWT.RefreshInterval, "jwt-refresh", 5*time.Minute, time.Second,
		"how often the key set of -jwt-jwks is fetched, and how long a key that it no longer has is still believed")
}
