package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5: the body of POST /v1/changes, audiences included.
func TestParseChange(t *testing.T) {
	base := hub.Change{Entity: "Todo", RowID: "t_1", Kind: hub.Update}
	with := func(f func(*hub.Change)) hub.Change { c := base; f(&c); return c }
	tests := []struct {
		name, keys string
		want       hub.Change
	}{
		{"the least", ``, base},
		{"everything", `,"data":{"a":1},"timestamp":"1767225600Z","op_id":"o"`, with(func(c *hub.Change) {
			c.Data, c.Timestamp, c.OpID = json.RawMessage(`{"a":1}`), "1767225600Z", "o"
		})},
		{"users", `,"audience":{"users":["u","v"]}`, with(func(c *hub.Change) { c.Audience.Users = []string{"u", "v"} })},
		{"tenant", `,"audience":{"tenant":"t"}`, with(func(c *hub.Change) { c.Audience.Tenant = "t" })},
		{"topic", `,"audience":{"topic":"x"}`, with(func(c *hub.Change) { c.Audience.Topic = "x" })},
		{"null is data too", `,"data":null`, with(func(c *hub.Change) { c.Data = json.RawMessage(`null`) })},
		{"text cut within a character, in data", `,"data":"\ud83d"`, with(func(c *hub.Change) { c.Data = json.RawMessage(`"\ud83d"`) })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := hub.DecodeChange([]byte(`{"entity":"Todo","row_id":"t_1","kind":"update"` + tt.keys + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprintf("%#v", exported(got)), fmt.Sprintf("%#v", exported(tt.want)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// docs/protocol.md section 5: errors name the field. An audience that names nobody must not become everyone.
func TestParseChangeNamesTheField(t *testing.T) {
	const rest = `"row_id":"t_1","kind":"update"`
	tests := []struct{ field, body string }{
		{"row", `{"entity":"Todo","row":"t_1",` + rest + `}`},
		{"op_id", `{"entity":"Todo",` + rest + `,"op_id":1}`},
		{"audience", `{"entity":"Todo",` + rest + `,"audience":{}}`},
		{"audience", `{"entity":"Todo",` + rest + `,"audience":{"tenant":"a","topic":"b"}}`},
		{"audience.users", `{"entity":"Todo",` + rest + `,"audience":{"users":[]}}`},
		{"audience.tenant", `{"entity":"Todo",` + rest + `,"audience":{"tenant":""}}`},
		{"audience.topic", `{"entity":"Todo",` + rest + `,"audience":{"topic":""}}`},
		// Each of these would tell everybody if it were taken for an audience that was left out.
		{"audience", `{"entity":"Todo",` + rest + `,"audience":null}`},
		{"audience.users", `{"entity":"Todo",` + rest + `,"audience":{"users":null}}`},
		{"audience.users", `{"entity":"Todo",` + rest + `,"audience":{"users":[null]}}`},
		{"audience.tenant", `{"entity":"Todo",` + rest + `,"audience":{"tenant":null}}`},
		{"audience.topic", `{"entity":"Todo",` + rest + `,"audience":{"topic":null}}`},
		{"audience.tenant", `{"entity":"Todo",` + rest + `,"audience":{"users":["u"],"tenant":null}}`},
		{"AUDIENCE", `{"entity":"Todo",` + rest + `,"audience":{"users":["u"]},"AUDIENCE":null}`},
		{"Audience", `{"entity":"Todo",` + rest + `,"Audience":{"users":["u"]}}`},
		{"audience", `{"entity":"Todo",` + rest + `,"audience":{"users":["u"]},"audience":null}`},
		{"audience", `{"entity":"Todo",` + rest + `,"audience":{"users":["u"]},"\u0061udience":{"users":["v"]}}`},
		{"audience.Users", `{"entity":"Todo",` + rest + `,"audience":{"users":["u"],"Users":["v"]}}`},
		{"audience.users", `{"entity":"Todo",` + rest + `,"audience":{"users":["u"],"users":["v"]}}`},
		{"audience.uſers", `{"entity":"Todo",` + rest + `,"audience":{"uſers":["u"]}}`},
		{"audience.users", `{"entity":"Todo",` + rest + `,"audience":{"users":["\ud83d"]}}`},
		{"entity", `{"entity":null,` + rest + `}`},
		{"ENTITY", `{"ENTITY":"Todo",` + rest + `}`},
		{"timestamp", `{"entity":"Todo",` + rest + `,"timestamp":null}`},
		{"op_id", `{"entity":"Todo",` + rest + `,"op_id":null}`},
	}
	for _, tt := range tests {
		_, err := hub.DecodeChange([]byte(tt.body))
		if err == nil {
			t.Errorf("%s was taken", tt.body)
			continue
		}
		if f := failureOf(err); f.Field != tt.field || f.status != 400 {
			t.Errorf("%s: got %v, want 400 for the field %s", tt.body, err, tt.field)
		}
	}
}

func exported(c hub.Change) []any {
	return []any{c.Entity, c.RowID, c.Kind, string(c.Data), c.Timestamp, c.OpID, c.Audience}
}

// needsRow stands in for the hub's check.
func needsRow(c *hub.Change) error {
	if c.RowID == "" {
		return &hub.FieldError{Field: "row_id", Message: "missing"}
	}
	return nil
}

func TestParseBatchCountsLines(t *testing.T) {
	const good = `{"entity":"Todo","row_id":"1","kind":"delete"}`
	batch, err := parseBatch([]byte(good+"\r\n\n  \n"+good), needsRow)
	if err != nil {
		t.Fatal(err)
	}
	if len(batch) != 2 || batch[0].line != 1 || batch[1].line != 4 {
		t.Errorf("got %+v, want changes of the lines 1 and 4", batch)
	}

	_, err = parseBatch([]byte(good+"\n\n{\"entity\":\"Todo\"}\n"+good), needsRow)
	var f *failure
	if !errors.As(err, &f) || f.Line != 3 || f.Applied == nil || *f.Applied != 0 || f.Field != "row_id" {
		t.Errorf("got %v, want row_id of line 3 with nothing applied", err)
	}
}

func TestParseBatchIsBounded(t *testing.T) {
	const good = `{"entity":"T","row_id":"1","kind":"delete"}` + "\n"
	if _, err := parseBatch([]byte(strings.Repeat(good, maxBatch)), needsRow); err != nil {
		t.Fatalf("%d lines: %v", maxBatch, err)
	}
	_, err := parseBatch([]byte(strings.Repeat(good, maxBatch+1)), needsRow)
	var f *failure
	if !errors.As(err, &f) || f.status != 413 || f.Line != maxBatch+1 {
		t.Errorf("got %v, want 413 at line %d", err, maxBatch+1)
	}
	for _, body := range []string{"", "\n \n"} {
		if _, err := parseBatch([]byte(body), needsRow); err == nil {
			t.Errorf("%q: no error for a body without changes", body)
		}
	}
}

func TestAtLineKeepsTheCause(t *testing.T) {
	f := atLine(fmt.Errorf("publish: %w", hub.ErrTooLarge), 7, 6)
	if f.status != 413 || f.Line != 7 || *f.Applied != 6 {
		t.Errorf("got %+v, want 413 at line 7 with 6 applied", f)
	}
}
