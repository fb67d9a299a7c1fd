package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/strictjson"
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
	verbs := map[string]command{"change": publishChange}
	for i := range publications {
		p := &publications[i]
		verbs[p.name] = p.run
	}
	return runVerb("publish", publishUsage, verbs, args, s)
}

// publication is a command of publish whose last operand is sent as it is. The operands before it end the path.
type publication struct {
	name, usage string
	operands    int
	what        string // says which they are
	file        bool   // the last is a file, not a text
	method      string
	path        string // below /v1/
	contentType string
	tenant      string // meaning of -tenant; empty: there is none
}

const (
	bodyJSON  = "application/json"
	bodyBytes = "application/octet-stream"
	aFile     = "a file, or - for standard input"
	oneTenant = "only to this tenant's clients; without it to those of all tenants, and of none"
)

var publications = []publication{{
	name: "changes", operands: 1, what: aFile, file: true, method: http.MethodPost, path: "changes", contentType: "application/x-ndjson",
	usage: `Publishes change events, one JSON object per line, and prints the first and last seq.

Usage: busbar publish changes FILE|- [flags]

A line has "entity", "row_id", "kind", and may have "data", "timestamp", "op_id" and "audience". All
lines are checked before the first is published.
`,
}, {
	name: "presence", operands: 1, what: "a JSON object, or - for standard input", method: http.MethodPost, path: "presence",
	contentType: bodyJSON, tenant: oneTenant,
	usage: `Sends a JSON object to every client, or to those of a tenant, as it is.

Usage: busbar publish presence JSON|- [flags]
`,
}, {
	name: "topic", operands: 2, what: "a topic and a JSON value, or - for standard input", method: http.MethodPost, path: "topics",
	contentType: bodyJSON, tenant: oneTenant,
	usage: `Sends a JSON value to a topic: to every client, or to its subscribers (-routing of the server),
or to those of them that are a tenant's.

Usage: busbar publish topic NAME JSON|- [flags]

Text needs quotes of its own, as in '"text"'.
`,
}, {
	name: "row", operands: 3, what: "an entity, a row and a file, or - for standard input", file: true, method: http.MethodPut, path: "rows",
	contentType: bodyBytes, tenant: "tenant whose row it is; without it every client may read it",
	usage: `Publishes a row's bytes to the clients that subscribed to it. They become the row's snapshot, which
later subscribers start from, unless -update says that they are an update on top of it.

Usage: busbar publish row ENTITY ROW FILE|- [flags]
`,
}, {
	name: "binary", operands: 1, what: aFile, file: true, method: http.MethodPost, path: "broadcast", contentType: bodyBytes,
	usage: `Sends one binary message to every client.

Usage: busbar publish binary FILE|- [flags]
`,
}}

func (p *publication) run(args []string, s streams) error {
	var f apiFlags
	var tenant string
	var update bool
	t := cli.New("busbar publish "+p.name, p.usage)
	t.Operands = p.operands
	t.Group("Message")
	if p.path == "rows" {
		t.Add("update", cli.Bool(&update), "send the bytes as an update, and leave the stored snapshot as it is")
	}
	if p.tenant != "" {
		t.Add("tenant", cli.Name(&tenant), p.tenant)
	}
	f.add(t)
	operands, err := parseOrHelp(t, args, s)
	if err != nil {
		return err
	}
	if len(operands) < p.operands {
		return cli.Usagef("%s takes %s", t.Command, p.what)
	}
	query := url.Values{}
	if tenant != "" {
		query.Set("tenant", tenant)
	}
	if update {
		query.Set("update", "1")
	}
	last := len(operands) - 1
	call := apiCall{method: p.method, path: append([]string{"v1", p.path}, operands[:last]...), query: query, contentType: p.contentType}
	return f.send(call, operands[last], p.file, s)
}

// send makes the call with text, a file of that name, or standard input for - as its body, and prints the answer. A file
// isn't held in memory, and whether a text is JSON, and of the right kind, isn't looked at: the server bounds and checks
// what it takes.
func (f *apiFlags) send(call apiCall, text string, named bool, s streams) error {
	client, err := f.client(s)
	if err != nil {
		return err
	}
	switch {
	case text == "-":
		call.body, call.size = s.in, -1
	case named:
		file, err := os.Open(text)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		defer file.Close()
		call.body, call.size = file, -1
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			call.size = info.Size()
		}
	default:
		call.body, call.size = strings.NewReader(text), int64(len(text))
	}
	return client.do(call, copyTo(s.out))
}

const publishChangeUsage = `Publishes one change event and prints its seq.

Usage: busbar publish change -entity E -row R -kind insert|update|delete [flags]

It goes to every client, or to those that one of the -to- flags names.
`

var changeKinds = []string{"insert", "update", "delete"}

// changeBody is the body of POST /v1/changes (docs/protocol.md section 5).
type changeBody struct {
	Entity    string          `json:"entity"`
	RowID     string          `json:"row_id"`
	Kind      string          `json:"kind"`
	Data      json.RawMessage `json:"data,omitempty"`
	Timestamp string          `json:"timestamp,omitempty"`
	OpID      string          `json:"op_id,omitempty"`
	Audience  struct {
		Users  []string `json:"users,omitempty"`
		Tenant string   `json:"tenant,omitempty"`
		Topic  string   `json:"topic,omitempty"`
	} `json:"audience,omitzero"` // zero: everyone
}

func publishChange(args []string, s streams) error {
	var f apiFlags
	var c changeBody
	var data string
	to := &c.Audience
	t := cli.New("busbar publish change", publishChangeUsage)
	t.Group("Change")
	t.Add("entity", cli.Text(&c.Entity, "name"), "entity that the row belongs to; required")
	t.Add("row", cli.Text(&c.RowID, "id"), "row that changed; required")
	t.Add("kind", cli.Word(&c.Kind, changeKinds...), "what happened to it; required")
	t.Add("data-json", cli.Text(&data, "JSON"), "the row's data, any JSON value; - reads it from standard input")
	t.Add("timestamp", cli.Text(&c.Timestamp, "text"), "passed on as it is; empty = the server's clock")
	t.Add("op-id", cli.Text(&c.OpID, "id"), "a change with an op id that the server has seen isn't applied again")
	t.Add("to-user", cli.Texts(&to.Users, "id"), "only to this user; may be given several times")
	t.Add("to-tenant", cli.Name(&to.Tenant), "only to this tenant's clients")
	t.Add("to-topic", cli.Name(&to.Topic), "only to clients subscribed to this topic")
	f.add(t)
	if _, err := parseOrHelp(t, args, s); err != nil {
		return err
	}
	if strings.HasPrefix(f.data, "{") {
		return cli.Usagef("-data: %q looks like JSON; -data is the data directory, the event's data is -data-json", f.data)
	}
	if len(to.Users) > 0 && to.Tenant+to.Topic != "" || to.Tenant != "" && to.Topic != "" {
		return cli.Usagef("-to-user, -to-tenant, -to-topic: give one kind of them; a change has one audience")
	}
	for _, required := range [][3]string{{"-entity", c.Entity, "Todo"}, {"-row", c.RowID, "t_1"}, {"-kind", c.Kind, "insert"}} {
		if required[1] == "" {
			return cli.Usagef("%s: say which, such as %s %s", required[0], required[0], required[2])
		}
	}
	if err := c.setData(data, s.in); err != nil {
		return err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode change: %w", err)
	}
	return f.send(apiCall{method: http.MethodPost, path: []string{"v1", "changes"}, contentType: bodyJSON}, string(body), false, s)
}

// maxStdin bounds JSON read from standard input: the largest -max-message-out.
const maxStdin = cli.GiB

func (c *changeBody) setData(text string, in io.Reader) error {
	data := []byte(text)
	if text == "-" {
		var err error
		if data, err = io.ReadAll(io.LimitReader(in, maxStdin+1)); err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		if len(data) > maxStdin {
			return fmt.Errorf("standard input holds more than %s", cli.FormatSize(maxStdin))
		}
	}
	if data = bytes.TrimSpace(data); len(data) == 0 {
		return nil
	}
	var wrong *strictjson.Error
	switch err := strictjson.UnmarshalKnown(data, &c.Data); {
	case errors.As(err, &wrong) && wrong.Syntax:
		return cli.Usagef("-data-json: that isn't JSON; text needs quotes of its own, as in '\"text\"'")
	case err != nil:
		return cli.Usagef("-data-json: %v", err)
	}
	return nil
}
