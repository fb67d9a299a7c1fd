package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/datadir"
	"github.com/busbar-ws/busbar/internal/strictjson"
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

// sessionSource say where sessions are.
type sessionSource struct{ apiFlags }

func (f *sessionSource) add(t *cli.Set) {
	f.apiFlags.add(t)
	t.Flag("api").Meaning = "call the API of a running server here, and take nothing but the admin token from -data; without -api so only with BUSBAR_LOG=nats"
}

// client is nil where the sessions are in the data directory.
func (f *sessionSource) client(t *cli.Set, s streams) (*apiClient, error) {
	if t.Flag("api").Given != "-api" && s.getenv(cli.EnvName("log")) != logNATS {
		return nil, nil
	}
	return f.apiFlags.client(s)
}

// openExistingSessions opens the store of a data directory and makes nothing that isn't
// there: a mistyped -data must not pass for an empty store. The caller closes it.
func openExistingSessions(data string, readOnly bool, s streams) (*auth.Sessions, error) {
	path := datadir.Dir(data).Database()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there are no sessions: %s doesn't exist; name the server's data directory with -data, or if it is one of several nodes (-log nats) its API with -api", path)
	}
	return auth.OpenSessions(path, auth.SessionOptions{ReadOnly: readOnly, Log: commandLog(s)})
}

const sessionCreateUsage = `Creates a session and prints its token, alone, on standard output.

Usage: busbar session create -user U [flags]

Without -api the data directory and the database in it are made when absent. The token is shown
nowhere else. Only a server with -auth sessions (the default) and without -sessions-db knows it, and
with -log nats only one that was made with the -api of a node: then all of them do.
`

func sessionCreate(args []string, s streams) error {
	var f sessionSource
	var user, tenant, device string
	ttl := 720 * time.Hour
	t := cli.New("busbar session create", sessionCreateUsage)
	t.Group("Session")
	t.Add("user", cli.Text(&user, "id"), "user that the session is for; required")
	t.Add("tenant", cli.Name(&tenant), "tenant that the session belongs to")
	t.Add("device", cli.Text(&device, "name"), "what to call the session in the list")
	t.Add("ttl", cli.Duration(&ttl, 0, 0), "how long the session lives; 0 = for ever")
	f.add(t)
	if _, err := parseOrHelp(t, args, s); err != nil {
		return err
	}
	if user == "" {
		return cli.Usagef("-user: say whose session it is to be, such as -user alice")
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
		return cli.Usagef("session create: %v", err)
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
		method: http.MethodPost, path: []string{"v1", "sessions"}, contentType: bodyJSON,
		body: bytes.NewReader(body), size: int64(len(body)),
	}, decodeTo(&made))
	return made.Token, err
}

func createSession(data, user, tenant string, ttl time.Duration, device string, s streams) (token string, err error) {
	dir, err := datadir.Open(data)
	if err != nil {
		return "", err
	}
	noted := dir.Noted()
	_, missing := os.Stat(dir.Database())
	store, err := auth.OpenSessions(dir.Database(), auth.SessionOptions{Log: commandLog(s)})
	if err != nil {
		return "", err
	}
	token, _, err = store.Create(context.Background(), user, tenant, ttl, device)
	_, moved := os.Stat(disklog.MovedTo(dir.ChangeLog()))
	_, inside := os.Stat(dir.NATS())
	switch {
	case err != nil:
	case noted != "":
		fmt.Fprintf(s.err, "busbar: the server of %s was started with %s, and doesn't know this session\n", string(dir), noted)
	case moved == nil || inside == nil:
		fmt.Fprintf(s.err, "busbar: %s has been the data of one of several nodes (-log nats): they don't know this session; make one with -api\n", string(dir))
	case errors.Is(missing, fs.ErrNotExist):
		fmt.Fprintf(s.err, "busbar: made a new session store, %s; a server knows this session only if its -data is %s, its -auth is sessions, and it isn't one of several nodes (-log nats), for which there is -api\n", dir.Database(), string(dir))
	}
	return token, errors.Join(err, store.Close())
}

const sessionListUsage = `Lists the sessions in no particular order: expired ones too, revoked ones not.

Usage: busbar session list [flags]

A session's id is made from its token and can't be turned back into it: it may be shown, logged, and
given to "busbar session revoke". Times are in UTC.
`

func sessionList(args []string, s streams) error {
	var f sessionSource
	var asJSON bool
	t := cli.New("busbar session list", sessionListUsage)
	t.Group("List")
	t.Add("json", cli.Bool(&asJSON), "print one JSON object per line; times are Unix seconds, expires_at 0 = never")
	f.add(t)
	if _, err := parseOrHelp(t, args, s); err != nil {
		return err
	}
	api, err := f.client(t, s)
	if err != nil {
		return err
	}
	print := sessionTable(s.out, time.Now())
	if lines := json.NewEncoder(s.out); asJSON {
		print = func(x auth.Session) error { return lines.Encode(x) }
	}
	any := false
	each := func(x auth.Session) error {
		any = true
		return print(x)
	}
	place := datadir.Dir(f.data).Database()
	if api != nil {
		place, err = api.address, api.eachSession(each)
	} else {
		err = eachSession(f.data, s, each)
	}
	if err == nil && !any {
		fmt.Fprintf(s.err, "busbar: no sessions in %s\n", place)
	}
	return err
}

func eachSession(data string, s streams, print func(auth.Session) error) error {
	store, err := openExistingSessions(data, true, s)
	if err != nil {
		return err
	}
	for found, err := range store.List(context.Background()) {
		if err == nil {
			err = print(found)
		}
		if err != nil {
			return errors.Join(err, store.Close())
		}
	}
	return store.Close()
}

func (c *apiClient) eachSession(print func(auth.Session) error) error {
	return c.do(apiCall{method: http.MethodGet, path: []string{"v1", "sessions"}}, func(r io.Reader) error {
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadBytes('\n')
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return nil
			}
			var one auth.Session
			if err == nil || errors.Is(err, io.EOF) {
				err = strictjson.Unmarshal(line, &one)
			}
			if err == nil {
				err = print(one)
			}
			if err != nil {
				return err
			}
		}
	})
}

// sessionTable prints rows as they come: columns have fixed widths, so that a million
// sessions needn't be held to find the widest.
func sessionTable(w io.Writer, now time.Time) func(auth.Session) error {
	row := func(cells ...any) error {
		line := fmt.Sprintf("%-16s  %-20s  %-12s  %-20s  %-26s  %s", cells...)
		_, err := fmt.Fprintln(w, strings.TrimRight(line, " "))
		return err
	}
	headed := false
	return func(x auth.Session) error {
		if !headed {
			headed = true
			if err := row("ID", "USER", "TENANT", "CREATED", "EXPIRES", "DEVICE"); err != nil {
				return err
			}
		}
		return row(x.ID, tableCell(x.UserID), tableCell(x.Tenant), x.Created.UTC().Format(time.RFC3339), expiryCell(x.Expires, now), tableCell(x.Device))
	}
}

// tableCell is text that can't change the screen: names come from whoever made the session.
func tableCell(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

func expiryCell(expires, now time.Time) string {
	switch text := expires.UTC().Format(time.RFC3339); {
	case expires.IsZero():
		return "never"
	case expires.After(now):
		return text
	default:
		return text + " ended"
	}
}

const sessionRevokeUsage = `Ends a session. A server that runs on the data directory closes its connections with 1008 within
about a second; with -api at once, and so do all nodes.

Usage: busbar session revoke ID [flags]     the id in "busbar session list", or 8 digits of it
       busbar session revoke - [flags]      reads the token, or the id, from standard input
       busbar session revoke TOKEN [flags]  after -- when it begins with a -

A token on the command line can be read by everyone on this host while the command runs.
`

func sessionRevoke(args []string, s streams) error {
	var f sessionSource
	t := cli.New("busbar session revoke", sessionRevokeUsage)
	t.Operands = 1
	f.add(t)
	operands, err := parseOrHelp(t, args, s)
	if err != nil {
		return err
	}
	if len(operands) == 0 {
		return cli.Usagef("session revoke: say which: an id from busbar session list, or - to read a token from standard input")
	}
	name := operands[0]
	if name == "-" {
		if name, err = auth.ReadToken(s.in); err != nil {
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
		err = fmt.Errorf("session revoke: %w in %s; busbar session list shows their ids", err, datadir.Dir(data).Database())
	}
	return errors.Join(err, store.Close())
}
