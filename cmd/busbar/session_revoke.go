package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/busbar-ws/busbar/internal/auth"
)

const sessionRevokeUsage = `Ends a session. A server that runs on the data directory closes its connections with 1008 within
about a second; with -api at once, and so do all nodes.

Usage: busbar session revoke ID [flags]     the id in "busbar session list", or 8 digits of it
       busbar session revoke - [flags]      reads the token, or the id, from standard input
       busbar session revoke TOKEN [flags]  after -- when it begins with a -

A token on the command line can be read by everyone on this host while the command runs.
`

// maxTokenText bounds what is read as a token, in bytes.
const maxTokenText = 4096

func sessionRevoke(args []string, s streams) error {
	var f sessionSource
	t := newFlagTable("busbar session revoke", sessionRevokeUsage)
	t.maxOperands = 1
	f.declare(t)
	operands, err := t.parseOrHelp(args, s)
	if err != nil {
		return err
	}
	if len(operands) == 0 {
		return usagef("session revoke: say which: an id from busbar session list, or - to read a token from standard input")
	}
	name := operands[0]
	if name == "-" {
		if name, err = readLine(s.in); err != nil {
			return fmt.Errorf("reading the token to revoke from standard input: %w", err)
		}
	}
	api, err := f.client(t, s)
	switch {
	case err != nil:
		return err
	case api != nil:
		err = api.do(apiCall{method: http.MethodDelete, path: []string{"v1", "sessions", name}}, copyTo(io.Discard))
	default:
		err = revokeSession(f.data, name, s)
	}
	if err == nil {
		_, err = fmt.Fprintln(s.out, "revoked")
	}
	return err
}

func revokeSession(data, name string, s streams) error {
	store, err := openExistingSessions(data, false, s)
	if err != nil {
		return err
	}
	err = store.Revoke(context.Background(), name)
	if errors.Is(err, auth.ErrNoSession) {
		err = fmt.Errorf("session revoke: %w in %s; busbar session list shows their ids", err, dataDir{data}.database())
	}
	return errors.Join(err, store.Close())
}

// readLine reads one bounded line, which has to be all there is, without space around it.
func readLine(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxTokenText+1))
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(b))
	switch {
	case line == "":
		return "", errors.New("it is empty")
	case len(b) > maxTokenText:
		return "", fmt.Errorf("it is over %d bytes", maxTokenText)
	case !isToken(line):
		return "", errors.New("it has to be one line of visible ASCII")
	}
	return line, nil
}

// isToken is false for what no HTTP header could carry as a token (RFC 9110 section 5.5).
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
