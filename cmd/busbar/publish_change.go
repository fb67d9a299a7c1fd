package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

const publishChangeUsage = `Publishes one change event and prints its seq.

Usage: busbar publish change -entity E -row R -kind insert|update|delete [flags]

It goes to every client, or to those that one of the -to- flags names.
`

// changeBody is the body of POST /v1/changes (docs/protocol.md section 5).
type changeBody struct {
	Entity    string          `json:"entity"`
	RowID     string          `json:"row_id"`
	Kind      string          `json:"kind"`
	Data      json.RawMessage `json:"data,omitempty"`
	Timestamp string          `json:"timestamp,omitempty"`
	OpID      string          `json:"op_id,omitempty"`
	Audience  map[string]any  `json:"audience,omitempty"`
}

func publishChange(args []string, s streams) error {
	var f apiFlags
	var c changeBody
	var data, tenant, topic string
	var users []string
	t := newFlagTable("busbar publish change", publishChangeUsage)
	t.Group("Change")
	t.Text(&c.Entity, "entity", "", "name", "entity that the row belongs to; required")
	t.Text(&c.RowID, "row", "", "id", "row that changed; required")
	t.Choice(&c.Kind, "kind", "", []string{"insert", "update", "delete"}, "what happened to it; required")
	t.Text(&data, "data-json", "", "JSON", "the row's data, any JSON value; - reads it from standard input")
	t.Text(&c.Timestamp, "timestamp", "", "text", "passed on as it is; empty = the server's clock")
	t.Text(&c.OpID, "op-id", "", "id", "a change with an op id that the server has seen isn't applied again")
	t.Texts(&users, "to-user", "id", "only to this user; may be given several times")
	t.Name(&tenant, "to-tenant", "only to this tenant's clients")
	t.Name(&topic, "to-topic", "only to clients subscribed to this topic")
	f.declare(t)
	if _, err := t.parseOrHelp(args, s); err != nil {
		return err
	}
	if strings.HasPrefix(f.data, "{") {
		return usagef("-data: %q looks like JSON; -data is the data directory, the event's data is -data-json", f.data)
	}
	if err := c.complete(); err != nil {
		return err
	}
	if c.Audience = changeAudience(users, tenant, topic); len(c.Audience) > 1 {
		return usagef("-to-user, -to-tenant, -to-topic: give one kind of them; a change has one audience")
	}
	if err := c.setData(data, s.in); err != nil {
		return err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode change: %w", err)
	}
	return f.post([]string{"v1", "changes"}, nil, "application/json", body, s)
}

func (c *changeBody) complete() error {
	switch {
	case c.Entity == "":
		return usagef("-entity: say which, such as -entity Todo")
	case c.RowID == "":
		return usagef("-row: say which, such as -row t_1")
	case c.Kind == "":
		return usagef("-kind: say what happened: insert, update or delete")
	}
	return nil
}

func (c *changeBody) setData(text string, in io.Reader) error {
	data := []byte(text)
	if text == "-" {
		var err error
		if data, err = readBounded(in); err != nil {
			return err
		}
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil
	}
	var wrong *strictjson.Error
	switch err := strictjson.UnmarshalKnown(data, &c.Data); {
	case errors.As(err, &wrong) && wrong.Syntax:
		return usagef("-data-json: that isn't JSON; text needs quotes of its own, as in '\"text\"'")
	case err != nil:
		return usagef("-data-json: %v", err)
	}
	return nil
}

// changeAudience is empty for everyone.
func changeAudience(users []string, tenant, topic string) map[string]any {
	a := make(map[string]any)
	if len(users) > 0 {
		a["users"] = users
	}
	if tenant != "" {
		a["tenant"] = tenant
	}
	if topic != "" {
		a["topic"] = topic
	}
	return a
}

// post sends a body that is in memory and prints the answer.
func (f *apiFlags) post(path []string, query url.Values, contentType string, body []byte, s streams) error {
	client, err := f.client(s)
	if err != nil {
		return err
	}
	return client.do(apiCall{
		method: http.MethodPost, path: path, query: query, contentType: contentType,
		body: bytes.NewReader(body), size: int64(len(body)),
	}, copyTo(s.out))
}
