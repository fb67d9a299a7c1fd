package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/client"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/cli"
)

const tailUsage = `Connects to a server as a client and prints what arrives, one message per line.

Usage: busbar tail [flags]

It signs in with the token in -token-file or BUSBAR_TOKEN, else with the admin token of the data
directory. No flag holds a token: a process's arguments can be read by all. When the server goes
away it connects again and asks for the change events above the last that it had, or above -since.
Without either it goes on with what comes. It ends with 0 after -count messages, Ctrl-C or Close
1000, and with 1 when the server won't have it back, such as after 1008.
`

// tailer prints what a server sends, over as many connections as it takes. It belongs to one goroutine.
type tailer struct {
	url              string
	since            int // below 0: not given
	rows             []rowName
	topics, entities []string
	count            int
	once, json       bool
	max              int // bytes of one message

	token     string
	s         streams
	printed   int
	connected bool // there was a server
}

// rowName names one row.
type rowName struct{ entity, id string }

// tail is the command of that name.
func tail(args []string, s streams) error {
	c := &tailer{url: "ws://127.0.0.1:4322", since: -1, max: 64 * cli.MiB, s: s}
	var tokenFile, data, adminTokenFile string
	t := cli.New("busbar tail", tailUsage)
	t.Group("Server")
	t.Add("url", cli.Checked(&c.url, "URL", "a WebSocket URL such as ws://127.0.0.1:4322 or wss://live.example.com", isWebSocketURL), "server to connect to")
	t.Add("token-file", cli.Path(&tokenFile, "file"), "file whose one line is the token; - reads it from standard input")
	addServerData(t, &data)
	addAdminTokenFile(t, &adminTokenFile)
	t.Add("once", cli.Bool(&c.once), "don't connect again: end when the connection ends")
	t.Group("Messages")
	t.Add("since", cli.Int(&c.since, -1, math.MaxInt), "first the retained change events above this seq; -1 = from now on")
	t.Add("row", cli.Each(&c.rows, "entity/row", "an entity and a row id, such as Todo/t_1", parseRowName), "subscribe to a row; may be given several times")
	t.Add("topic", cli.Texts(&c.topics, "name"), "subscribe to a topic; may be given several times")
	t.Add("entity", cli.Texts(&c.entities, "name"), "subscribe to an entity's change events; may be given several times")
	t.Add("count", cli.Int(&c.count, 0, math.MaxInt), "end after so many messages; 0 = go on")
	t.Add("max-message", cli.Size(&c.max, minMessage, cli.GiB), "a larger message ends the connection with 1009")
	t.Add("json", cli.Bool(&c.json), "print binary messages as JSON too, with the bytes in base64")
	if _, err := parseOrHelp(t, args, s); err != nil {
		return err
	}
	env := s.getenv("BUSBAR_TOKEN")
	if t.Flag("admin-token-file").Given == "-admin-token-file" {
		env = "" // a flag beats a variable
	}
	var err error
	if c.token, err = tailToken(tokenFile, env, data, adminTokenFile, s); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.run(ctx)
}

func isWebSocketURL(text string) bool {
	u, err := url.ParseRequestURI(text)
	return err == nil && (u.Scheme == "ws" || u.Scheme == "wss") && u.Hostname() != "" && u.User == nil
}

// parseRowName reads entity/row. An entity can't hold a slash that way, a row id can.
func parseRowName(text string) (rowName, bool) {
	entity, id, _ := strings.Cut(text, "/")
	return rowName{entity, id}, entity != "" && id != ""
}

func tailToken(file, env, data, adminTokenFile string, s streams) (token string, err error) {
	switch {
	case file == "-":
		token, err = auth.ReadToken(s.in)
	case file != "":
		var f *os.File
		if f, err = os.Open(file); err == nil {
			defer f.Close()
			token, err = auth.ReadToken(f)
		}
	case env == "":
		return existingAdminToken(data, adminTokenFile, s)
	default:
		if token, err = auth.CheckToken(env); err != nil {
			err = cli.Usagef("BUSBAR_TOKEN: %v", err)
		}
		return token, err
	}
	if err != nil {
		err = fmt.Errorf("-token-file %s: %w (- is standard input)", file, err)
	}
	return token, err
}

// How long tail waits before it connects again: a random part of what doubles from the first to the last.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// errDone ends a tail that has printed enough.
var errDone = errors.New("done")

// run connects until it is done. Only a server that answered once is waited for: an address that was wrong from the
// start won't get better.
func (t *tailer) run(ctx context.Context) error {
	options := client.Options{
		Token: client.Token(t.token), Subscribe: t.subscriptions(), Handle: t.handle, State: t.tell, Retry: t.retry,
		MinDelay: firstRetry, MaxDelay: lastRetry, MaxMessage: int64(t.max), HTTPClient: directClient(15 * time.Second),
	}
	if t.since >= 0 {
		options.Since = new(uint64(t.since))
	}
	err := client.New(t.url, options).Run(ctx)
	var closed *client.CloseError
	switch {
	case ctx.Err() != nil, errors.Is(err, errDone):
		return nil
	case errors.As(err, &closed) && (closed.Code == websocket.StatusNormalClosure || t.once && drains(closed)):
		return nil
	}
	return fmt.Errorf("tail: %w", t.explain(err))
}

// drains is true for a server that has done nothing wrong.
func drains(e *client.CloseError) bool {
	return e.Code == websocket.StatusGoingAway || e.Code == websocket.StatusServiceRestart
}

func (t *tailer) handle(_ context.Context, m client.Message) error {
	if err := t.print(m); err != nil {
		return err
	}
	if t.printed++; t.count > 0 && t.printed >= t.count {
		return errDone
	}
	return nil
}

func (t *tailer) tell(s client.State) {
	switch s.Phase {
	case client.Open:
		t.connected = true
		fmt.Fprintf(t.s.err, "busbar: tail: connected to %s\n", t.url)
	case client.Waiting:
		fmt.Fprintf(t.s.err, "busbar: tail: %v; connecting again in %s\n", t.explain(s.Err), s.Delay.Round(time.Millisecond))
	}
}

func (t *tailer) retry(err error) bool {
	if closed := (*client.CloseError)(nil); errors.As(err, &closed) {
		t.connected = true
	}
	return t.connected && !t.once
}

// explain says what an error means here, and what would do.
func (t *tailer) explain(err error) error {
	var status *client.StatusError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s; start a server there, or name its address with -url", t.url)
	case errors.Is(err, client.ErrTooBig):
		return fmt.Errorf("a message is larger than -max-message %s", cli.FormatSize(t.max))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended without a Close")
	case !errors.As(err, &status):
		return err
	case status.Status == http.StatusUnauthorized, status.Status == http.StatusForbidden:
		// Refused with -reject http, which 1008 stands for otherwise.
		return &client.CloseError{
			Code: websocket.StatusPolicyViolation, Reason: fmt.Sprintf("status %d: the token isn't valid there", status.Status),
		}
	case status.Status == http.StatusServiceUnavailable:
		return fmt.Errorf("the server at %s takes no connections now (status 503): it is full, or about to end", t.url)
	}
	return fmt.Errorf("connecting to %s: %w instead of an upgrade: is that the WebSocket port?", t.url, status)
}

func (t *tailer) subscriptions() (all []client.Subscription) {
	for _, topic := range t.topics {
		all = append(all, client.Subscription{Topic: topic})
	}
	for _, entity := range t.entities {
		all = append(all, client.Subscription{Entity: entity})
	}
	for _, row := range t.rows {
		all = append(all, client.Subscription{Entity: row.entity, RowID: row.id})
	}
	return all
}
