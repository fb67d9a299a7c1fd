package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/strictjson"
	"github.com/busbar-ws/busbar/wsproto"
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

	token   string
	s       streams
	cursor  cursor
	printed int
	final   bool // the error is one that another connection would meet again
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
	t.Add("token-file", cli.Text(&tokenFile, "file"), "file whose one line is the token; - reads it from standard input")
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
	if c.since >= 0 {
		c.cursor = cursor{seq: uint64(c.since), known: true}
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

// How long tail waits before it connects again: doubling from the first to the last.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// retryDelay is the wait before attempt n, from 0, to connect again. A fifth of it is left to chance, so that many
// clients of one server don't come back in step.
func retryDelay(n int, chance float64) time.Duration {
	delay := lastRetry
	if n < 10 {
		delay = min(firstRetry<<n, lastRetry)
	}
	return delay - time.Duration(float64(delay)*0.2*chance)
}

// run connects until it is done. Only a server that answered once is waited for: an address that was wrong from the
// start won't get better.
func (t *tailer) run(ctx context.Context) error {
	attempt, connected := 0, false
	for {
		started := time.Now()
		opened, err := t.connect(ctx)
		connected = connected || opened
		var end *tailEnd
		switch {
		case ctx.Err() != nil || t.done():
			return nil
		case errors.As(err, &end) && (end.code == websocket.StatusNormalClosure || end.code == websocket.StatusGoingAway && t.once):
			return nil // a server that drains has done nothing wrong
		case errors.As(err, &end) && !end.retry(), t.final, t.once, !connected:
			return fmt.Errorf("tail: %w", err)
		}
		// A server that accepts and closes at once, over capacity, say, must see the waits grow.
		if opened && time.Since(started) > lastRetry {
			attempt = 0
		}
		delay := retryDelay(attempt, rand.Float64())
		attempt++
		fmt.Fprintf(t.s.err, "busbar: tail: %v; connecting again in %s\n", err, delay.Round(time.Millisecond))
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *tailer) done() bool { return t.count > 0 && t.printed >= t.count }

// connect connects, subscribes and prints until the connection ends. opened says whether there was a connection; the
// error is never nil unless the tailer is done or ctx ended.
func (t *tailer) connect(ctx context.Context) (opened bool, err error) {
	// A token that is no good is upgraded and closed with 1008 (docs/protocol.md section 1): only what comes before a Close
	// says that it is.
	accepted := sync.OnceFunc(func() { fmt.Fprintf(t.s.err, "busbar: tail: connected to %s\n", t.url) })
	c, err := t.dial(ctx, accepted)
	if err != nil {
		return false, err
	}
	defer c.CloseNow()
	// Ctrl-C has to reach a connection on which nothing happens.
	interrupted := context.AfterFunc(ctx, func() { _ = c.Close(websocket.StatusNormalClosure, "") })
	defer interrupted()
	go func() { _ = c.Ping(context.Background()) }() // so that something comes when nothing is published
	for _, message := range t.subscriptions() {
		if err := c.Write(context.Background(), websocket.MessageText, message); err != nil {
			return true, fmt.Errorf("subscribing: %w", err)
		}
	}
	for {
		kind, message, err := c.Read(context.Background())
		if err == nil && kind == websocket.MessageText && !utf8.Valid(message) { // RFC 6455 section 8.1
			err = errors.New("a text message isn't UTF-8")
			_ = c.Close(websocket.StatusInvalidFramePayloadData, "")
		}
		if err != nil {
			return true, t.broken(c, err)
		}
		accepted()
		if ctx.Err() != nil {
			continue // until the other side has answered our Close
		}
		t.cursor.see(kind, message)
		if err := t.print(kind, message); err != nil {
			t.final = true
			return true, err
		}
		if t.printed++; t.done() {
			_ = c.Close(websocket.StatusNormalClosure, "")
			return true, nil
		}
	}
}

// dial calls accepted when the first answer to a ping comes.
func (t *tailer) dial(ctx context.Context, accepted func()) (*websocket.Conn, error) {
	target, err := url.Parse(t.url)
	if err != nil {
		return nil, err
	}
	if t.cursor.known {
		query := target.Query()
		query.Set("since", strconv.FormatUint(t.cursor.seq, 10))
		target.RawQuery = query.Encode()
	}
	c, response, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		HTTPClient: directClient(15 * time.Second), HTTPHeader: http.Header{"Authorization": {"Bearer " + t.token}},
		OnPongReceived: func(context.Context, []byte) { accepted() },
	})
	if err != nil {
		return nil, t.explainDial(err, response)
	}
	c.SetReadLimit(int64(t.max))
	return c, nil
}

// explainDial says what a failed connect means, and what would do. response is nil when there was none.
func (t *tailer) explainDial(err error, response *http.Response) error {
	status := 0
	if response != nil {
		status = response.StatusCode
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s; start a server there, or name its address with -url", t.url)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		// Refused with -reject http, which 1008 stands for otherwise.
		return &tailEnd{websocket.StatusPolicyViolation, fmt.Sprintf("status %d: the token isn't valid there", status)}
	case status == http.StatusServiceUnavailable:
		return fmt.Errorf("the server at %s takes no connections now (status 503): it is full, or about to end", t.url)
	case status != 0 && status != http.StatusSwitchingProtocols:
		return fmt.Errorf("connecting to %s: status %d %s instead of an upgrade: is that the WebSocket port?",
			t.url, status, http.StatusText(status))
	}
	return fmt.Errorf("connecting to %s: %w", t.url, err)
}

// broken says what ended the connection.
func (t *tailer) broken(c *websocket.Conn, err error) error {
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return &tailEnd{closed.Code, closed.Reason}
	case errors.Is(err, websocket.ErrMessageTooBig):
		_ = c.Close(websocket.StatusMessageTooBig, "") // reads the rest: unread it would cost the server our Close
		t.final = true
		return fmt.Errorf("a message is larger than -max-message %s", cli.FormatSize(t.max))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended without a Close")
	}
	return fmt.Errorf("the connection broke: %w", err)
}

// subscriptions are the messages that a client sends again on each connection.
func (t *tailer) subscriptions() (messages [][]byte) {
	add := func(m map[string]string) {
		b, _ := json.Marshal(m) // strings alone: can't fail
		messages = append(messages, b)
	}
	for _, topic := range t.topics {
		add(map[string]string{"type": "subscribe", "topic": topic})
	}
	for _, entity := range t.entities {
		add(map[string]string{"type": "subscribe", "entity": entity})
	}
	for _, row := range t.rows {
		add(map[string]string{"type": "crdt-subscribe", "entity": row.entity, "rowId": row.id})
	}
	return messages
}

// tailEnd is a connection that the server ended in a way that says why.
type tailEnd struct {
	code   websocket.StatusCode
	reason string
}

// retry is whether to come back. A code that the server doesn't send comes from something in between, which may be gone
// next time.
func (e *tailEnd) retry() bool {
	known, ok := wsproto.LookupClose(ws.StatusCode(e.code))
	return !ok || known.Retry
}

func (e *tailEnd) Error() string {
	text := fmt.Sprintf("the server closed the connection with %d", e.code)
	if e.reason != "" {
		return fmt.Sprintf("%s, %q", text, e.reason)
	}
	if known, ok := wsproto.LookupClose(ws.StatusCode(e.code)); ok {
		text += ", " + known.Meaning
	}
	return text
}

// cursor is the seq that a client asks to go on from when it connects again. It is a plain value.
type cursor struct {
	seq   uint64
	known bool
}

// see takes a message into account, if it is one that only the server sends (docs/protocol.md section 3): a change event
// has no type, and a relay, which has a from, is neither that nor a resync. What is absent is nil; type and from aren't
// even when they are null.
func (c *cursor) see(kind websocket.MessageType, message []byte) {
	var m struct {
		Type      json.RawMessage `json:"type"`
		From      json.RawMessage `json:"from"`
		Seq       *uint64         `json:"seq"`
		OldestSeq *uint64         `json:"oldest_seq"`
		Entity    string          `json:"entity"`
		RowID     string          `json:"row_id"`
		Kind      string          `json:"kind"`
	}
	if kind != websocket.MessageText || strictjson.Unmarshal(message, &m) != nil || m.Seq == nil || m.From != nil {
		return
	}
	isEvent := m.Type == nil && m.Entity != "" && m.RowID != "" && slices.Contains(changeKinds, m.Kind)
	// After a resync the log doesn't reach back, or has begun anew: what follows is live from here.
	isResync := string(m.Type) == `"resync"` && m.OldestSeq != nil
	if isResync || isEvent && (!c.known || *m.Seq > c.seq) {
		*c = cursor{*m.Seq, true}
	}
}
