package hub

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestValidateChange(t *testing.T) {
	fits, over := strings.Repeat("n", 65_535), strings.Repeat("n", 65_536)
	for _, c := range []struct {
		name  string
		field string // "" when it is fine
		edit  func(*Change)
	}{
		{"plain", "", func(*Change) {}},
		{"no entity", "entity", func(c *Change) { c.Entity = "" }},
		{"long entity", "", func(c *Change) { c.Entity = fits }},
		{"too long entity", "entity", func(c *Change) { c.Entity = over }},
		{"entity not UTF-8", "entity", func(c *Change) { c.Entity = "\xff" }},
		{"no row", "row_id", func(c *Change) { c.RowID = "" }},
		{"too long row", "row_id", func(c *Change) { c.RowID = over }},
		{"no kind", "kind", func(c *Change) { c.Kind = "" }},
		{"unknown kind", "kind", func(c *Change) { c.Kind = "Insert" }},
		{"no data", "", func(c *Change) { c.Data = nil }},
		{"bad data", "data", func(c *Change) { c.Data = json.RawMessage(`{"a"}`) }},
		{"data with a name twice", "data", func(c *Change) { c.Data = json.RawMessage(`[{"a":1,"\u0061":2}]`) }},
		{"text cut within a character", "", func(c *Change) { c.Data = json.RawMessage(`{"a":"\ud83d","A":1}`) }},
		{"data not UTF-8", "data", func(c *Change) { c.Data = json.RawMessage("\"\xff\"") }},
		{"bad data on delete", "", func(c *Change) { c.Kind, c.Data = Delete, json.RawMessage("{") }},
		{"long op id", "", func(c *Change) { c.OpID = strings.Repeat("o", 256) }},
		{"too long op id", "op_id", func(c *Change) { c.OpID = strings.Repeat("o", 257) }},
		{"users", "", func(c *Change) { c.Audience.Users = []string{"a", "b"} }},
		{"no users", "audience.users", func(c *Change) { c.Audience.Users = []string{} }},
		{"empty user", "audience.users", func(c *Change) { c.Audience.Users = []string{"a", ""} }},
		{"many users", "", func(c *Change) { c.Audience.Users = slices.Repeat([]string{"a"}, 10_000) }},
		{"too many users", "audience.users", func(c *Change) { c.Audience.Users = slices.Repeat([]string{"a"}, 10_001) }},
		{"tenant", "", func(c *Change) { c.Audience.Tenant = "acme" }},
		{"too long tenant", "audience.tenant", func(c *Change) { c.Audience.Tenant = over }},
		{"too long topic", "audience.topic", func(c *Change) { c.Audience.Topic = over }},
		{"two audiences", "audience", func(c *Change) { c.Audience = Audience{Tenant: "acme", Topic: "t"} }},
		{"nobody and a topic", "audience", func(c *Change) { c.Audience = Audience{Users: []string{}, Topic: "t"} }},
	} {
		change := Change{Entity: "Todo", RowID: "1", Kind: Update, Data: json.RawMessage(`{"a":1}`)}
		c.edit(&change)
		err := validateChange(&change, 1<<20)
		var wrong *FieldError
		if c.field == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if c.field != "" && (!errors.As(err, &wrong) || wrong.Field != c.field) {
			t.Errorf("%s: got %v, want an error of %s", c.name, err, c.field)
		}
	}
}

func TestValidateChangeDropsDataOfADelete(t *testing.T) {
	change := Change{Entity: "Todo", RowID: "1", Kind: Delete, Data: json.RawMessage(`{"a":1}`)}
	if err := validateChange(&change, 1<<20); err != nil || change.Data != nil {
		t.Errorf("data is %s, %v", change.Data, err)
	}
}

// No event that was let through is over the limit, and little is refused for nothing.
func TestValidateChangeSize(t *testing.T) {
	for _, c := range []Change{
		{Entity: "Todo", RowID: "1", Kind: Update, Data: json.RawMessage(`{"a":1}`), Timestamp: "1767225600Z"},
		{Entity: "\x01\x02\x03\"\"", RowID: strings.Repeat("\x00", 200), Kind: Insert, Timestamp: "\n"},
		{Entity: "Todo", RowID: "1", Kind: Delete, Data: json.RawMessage(`"dropped"`), Timestamp: "1Z"},
	} {
		encoded, err := EncodeEvent(Event{Seq: 1<<64 - 1, Entity: c.Entity, RowID: c.RowID, Kind: c.Kind, Data: c.Data, Timestamp: c.Timestamp})
		if err != nil {
			t.Fatal(err)
		}
		if err := validateChange(&c, len(encoded)); err != nil {
			t.Errorf("%d bytes of %d: %v", len(encoded), len(encoded), err)
		}
		if err := validateChange(&c, len(encoded)-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes of %d: %v", len(encoded), len(encoded)-1, err)
		}
	}
}
