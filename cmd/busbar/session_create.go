package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/busbar-ws/busbar/internal/auth"
)

const sessionCreateUsage = `Creates a session and prints its token, alone, on standard output.

Usage: busbar session create -user U [flags]

The data directory and the database in it are made when absent. The token is shown nowhere else.
Only a server with -auth sessions (the default), without -sessions-db and without -log nats looks it
up there: several nodes have their sessions together, and their API makes and revokes them.
`

func sessionCreate(args []string, s streams) error {
	var data, user, tenant, device string
	var ttl time.Duration
	t := newFlagTable("busbar session create", sessionCreateUsage)
	t.Group("Flags")
	t.Text(&user, "user", "", "id", "user that the session is for; required")
	t.Name(&tenant, "tenant", "tenant that the session belongs to")
	t.Text(&device, "device", "", "name", "what to call the session in the list")
	t.Duration(&ttl, "ttl", 720*time.Hour, 0, "how long the session lives; 0 = for ever")
	t.DataDir(&data)
	if _, err := t.parseOrHelp(args, s); err != nil {
		return err
	}
	if user == "" {
		return usagef("-user: say whose session it is to be, such as -user alice")
	}
	token, err := createSession(data, user, tenant, ttl, device, s)
	if errors.Is(err, auth.ErrBadSession) {
		return usagef("session create: %v", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, token)
	return err
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
		fmt.Fprintf(s.err, "busbar: made a new session store, %s; a server knows this session only if its -data is %s, and it isn't one of several nodes (-log nats)\n", dir.database(), dir.path)
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
