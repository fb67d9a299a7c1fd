package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/busbar-ws/busbar/internal/auth"
)

const sessionCreateUsage = `Creates a session and prints its token, alone, on standard output.

Usage: busbar session create -user U [flags]

Without -api the data directory and the database in it are made when absent. The token is shown
nowhere else. Only a server with -auth sessions (the default) and without -sessions-db knows it, and
with -log nats only one that was made with the -api of a node: then all of them do.
`

func sessionCreate(args []string, s streams) error {
	var f sessionSource
	var user, tenant, device string
	var ttl time.Duration
	t := newFlagTable("busbar session create", sessionCreateUsage)
	t.Group("Session")
	t.Text(&user, "user", "", "id", "user that the session is for; required")
	t.Name(&tenant, "tenant", "tenant that the session belongs to")
	t.Text(&device, "device", "", "name", "what to call the session in the list")
	t.Duration(&ttl, "ttl", 720*time.Hour, 0, "how long the session lives; 0 = for ever")
	f.declare(t)
	if _, err := t.parseOrHelp(args, s); err != nil {
		return err
	}
	if user == "" {
		return usagef("-user: say whose session it is to be, such as -user alice")
	}
	api, err := f.client(t, s)
	if err != nil {
		return err
	}
	var token string
	if api != nil {
		token, err = api.createSession(user, tenant, ttl, device)
	} else {
		token, err = createSession(f.data, user, tenant, ttl, device, s)
	}
	if errors.Is(err, auth.ErrBadSession) {
		return usagef("session create: %v", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, token)
	return err
}

func (c *apiClient) createSession(user, tenant string, ttl time.Duration, device string) (token string, err error) {
	ask := map[string]any{"user_id": user, "device": device, "ttl_seconds": int64((ttl + time.Second - 1) / time.Second)}
	if tenant != "" {
		ask["tenant_id"] = tenant
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return "", fmt.Errorf("encode session: %w", err)
	}
	var made struct {
		Token string `json:"token"`
	}
	err = c.do(apiCall{
		method: http.MethodPost, path: []string{"v1", "sessions"}, contentType: "application/json",
		body: bytes.NewReader(body), size: int64(len(body)),
	}, func(r io.Reader) error { return json.NewDecoder(io.LimitReader(r, maxAnswer)).Decode(&made) })
	return made.Token, err
}

func createSession(data, user, tenant string, ttl time.Duration, device string, s streams) (token string, err error) {
	dir, err := openDataDir(data)
	if err != nil {
		return "", err
	}
	_, missing := os.Stat(dir.database())
	store, err := auth.OpenSessions(dir.database(), auth.SessionOptions{Log: commandLog(s)})
	if err != nil {
		return "", err
	}
	token, _, err = store.Create(context.Background(), user, tenant, ttl, device)
	if err == nil && errors.Is(missing, fs.ErrNotExist) {
		fmt.Fprintf(s.err, "busbar: made a new session store, %s; a server knows this session only if its -data is %s, and it isn't one of several nodes (-log nats), for which there is -api\n", dir.database(), dir.path)
	}
	if err == nil {
		warnOfOtherTokens(s)
	}
	return token, errors.Join(err, store.Close())
}

// warnOfOtherTokens says that the server may not know the session, as far as the environment
// configures the server too.
func warnOfOtherTokens(s streams) {
	mode, database := environmentName("auth"), environmentName("sessions-db")
	if set := s.getenv(mode); set != "" && set != authSessions {
		fmt.Fprintf(s.err, "busbar: a server with %s=%s doesn't look up sessions: this one is of no use to it\n", mode, set)
	} else if set := s.getenv(database); set != "" {
		fmt.Fprintf(s.err, "busbar: a server with %s=%s looks sessions up there alone: this one is of no use to it\n", database, set)
	}
}
