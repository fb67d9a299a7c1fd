package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/busbar-ws/busbar/internal/auth"
)

const sessionUsage = `Creates, lists and revokes the sessions that clients sign in with.

Usage: busbar session create -user U [flags]    prints the new session's token alone
       busbar session list [flags]              shows all sessions, without their tokens
       busbar session revoke TOKEN|ID|- [flags] ends a session and its connections

They work on the data directory, whether or not a server runs there. Sessions of several nodes
(-log nats) aren't there: with -api they are asked for at a node that runs, with the admin token.
Where the environment has BUSBAR_LOG=nats that is so without -api. -help after any of them shows
its flags.
`

// session is the command of that name.
func session(args []string, s streams) error {
	return runVerb("session", sessionUsage, map[string]command{
		"create": sessionCreate,
		"list":   sessionList,
		"revoke": sessionRevoke,
	}, args, s)
}

// runVerb runs the one of verbs that the first argument names.
func runVerb(name, usage string, verbs map[string]command, args []string, s streams) error {
	names := make([]string, 0, len(verbs))
	for verb := range verbs {
		names = append(names, verb)
	}
	slices.Sort(names)
	known := strings.Join(names, ", ")
	if len(args) == 0 {
		return usagef("%s: say what to do: %s; busbar %s -help shows more", name, known, name)
	}
	if verb := verbs[args[0]]; verb != nil {
		return verb(args[1:], s)
	}
	if slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
		fmt.Fprint(s.out, usage)
		return flag.ErrHelp
	}
	return usagef("%s: %q isn't one of %s; busbar %s -help shows more", name, args[0], known, name)
}

// parseOrHelp reads the arguments, and writes the help when that is what they ask for.
func (t *flagTable) parseOrHelp(args []string, s streams) (operands []string, err error) {
	operands, err = t.parse(args, s.getenv)
	if errors.Is(err, flag.ErrHelp) {
		return nil, errors.Join(err, t.WriteHelp(s.out))
	}
	return operands, err
}

// sessionSource say where sessions are.
type sessionSource struct{ apiFlags }

func (f *sessionSource) declare(t *flagTable) {
	f.apiFlags.declare(t)
	t.setting("api").meaning = "call the API of a running server here, and take nothing but the admin token from -data; without -api so only with BUSBAR_LOG=nats"
}

// client is nil where the sessions are in the data directory.
func (f *sessionSource) client(t *flagTable, s streams) (*apiClient, error) {
	if t.given()["api"] != "-api" && s.getenv(environmentName("log")) != logNATS {
		return nil, nil
	}
	return f.apiFlags.client(s)
}

// openExistingSessions opens the store of a data directory and makes nothing that isn't
// there: a mistyped -data must not pass for an empty store. The caller closes it.
func openExistingSessions(data string, readOnly bool, s streams) (*auth.Sessions, error) {
	path := dataDir{data}.database()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there are no sessions: %s doesn't exist; name the server's data directory with -data, or if it is one of several nodes (-log nats) its API with -api", path)
	}
	return auth.OpenSessions(path, auth.SessionOptions{ReadOnly: readOnly, Log: commandLog(s)})
}

// commandLog takes what the packages below a command have to say.
func commandLog(s streams) *slog.Logger { return slog.New(slog.NewTextHandler(s.err, nil)) }
