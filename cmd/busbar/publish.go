package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/busbar-ws/busbar/internal/auth"
)

const publishUsage = `Publishes through the HTTP API of a running server. Prints the seqs of changes, and else nothing.

Usage: busbar publish change -entity E -row R -kind insert|update|delete [flags]
       busbar publish changes FILE|- [flags]         change events, one JSON object per line
       busbar publish presence JSON|- [flags]        a JSON object to every client, or to a tenant's
       busbar publish topic NAME JSON|- [flags]      a JSON value to a topic
       busbar publish row ENTITY ROW FILE|- [flags]  a row's snapshot or update, any bytes
       busbar publish binary FILE|- [flags]          one binary message to every client

- stands for standard input. -help after any of them shows its flags.
`

// publish is the command of that name.
func publish(args []string, s streams) error {
	return runVerb("publish", publishUsage, map[string]command{
		"change":   publishChange,
		"changes":  publishChanges,
		"presence": publishPresence,
		"topic":    publishTopic,
		"row":      publishRow,
		"binary":   publishBinary,
	}, args, s)
}

// apiFlags say where the API is and how to get in. They belong to one command's goroutine.
type apiFlags struct {
	api, data, tokenFile string
	timeout              time.Duration
}

func (f *apiFlags) declare(t *flagTable) {
	t.Group("Server")
	t.API(&f.api)
	t.ServerDataDir(&f.data)
	t.AdminTokenFile(&f.tokenFile)
	t.Duration(&f.timeout, "timeout", time.Minute, time.Millisecond, "how long the call may take")
}

// client finds the token and makes a client of the API.
func (f *apiFlags) client(s streams) (*apiClient, error) {
	token, err := existingAdminToken(f.data, f.tokenFile, s)
	if err != nil {
		return nil, err
	}
	return newAPIClient(f.api, token, f.timeout), nil
}

// existingAdminToken finds the admin token where the server looks for it. Other than the
// server it never makes one: no server would know it.
func existingAdminToken(data, file string, s streams) (string, error) {
	env := s.getenv("BUSBAR_ADMIN_TOKEN")
	hint := ""
	if file == "" && env == "" {
		file = dataDir{data}.adminToken()
		hint = "; name the server's data directory with -data, or give the token by -admin-token-file or BUSBAR_ADMIN_TOKEN"
	}
	token, warning, err := auth.AdminToken(data, file, env)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w%s", err, hint)
	}
	if warning != "" {
		fmt.Fprintf(s.err, "busbar: %s\n", warning)
	}
	return token, err
}
