package httpapi

import (
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5: a body that can't be understood is an error that says where.
func TestDecodeChangeSaysWhere(t *testing.T) {
	tests := []struct {
		name, body, code, field string
		offset                  int64 // -1: none
	}{
		{"misspelled key", `{"entity":"Todo","rowid":"1"}`, "INVALID_FIELD", "rowid", 17},
		{"misspelled nested key", `{"audience":{"user":["u"]}}`, "INVALID_FIELD", "audience.user", 13},
		{"key in capitals", `{"ENTITY":"Todo"}`, "INVALID_FIELD", "ENTITY", 1},
		{"key twice", `{"entity":"Todo","entity":"Todo"}`, "INVALID_FIELD", "entity", 17},
		{"wrong type", `{"entity":7}`, "INVALID_FIELD", "entity", 10},
		{"wrong nested type", `{"audience":{"users":"u"}}`, "INVALID_FIELD", "audience.users", 21},
		{"not an object", `[1]`, "INVALID_JSON", "", 0},
		{"empty", ``, "INVALID_JSON", "", 0},
		{"cut off", `{"entity":`, "INVALID_JSON", "", 10},
		{"syntax", `{"entity" "Todo"}`, "INVALID_JSON", "", 10},
		{"two values", `{} {}`, "INVALID_JSON", "", 3},
		{"rubbish behind", `{}x`, "INVALID_JSON", "", 2},
		{"invalid UTF-8 in data", "{\"data\":\"ab\xff\"}", "INVALID_JSON", "", 11},
		{"truncated UTF-8", "{\"data\":\"\xe2\x82", "INVALID_JSON", "", 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := hub.DecodeChange([]byte(tt.body))
			if err == nil {
				t.Fatal("it was taken")
			}
			f := failureOf(err)
			if f.status != 400 || f.Code != tt.code || f.Field != tt.field {
				t.Errorf("got %d %s field %q (%s), want 400 %s field %q", f.status, f.Code, f.Field, f.Message, tt.code, tt.field)
			}
			offset := int64(-1)
			if f.Offset != nil {
				offset = *f.Offset
			}
			if offset != tt.offset {
				t.Errorf("offset %d, want %d", offset, tt.offset)
			}
		})
	}
}

func TestDecodeChangeTakesWhitespaceAround(t *testing.T) {
	if c, err := hub.DecodeChange([]byte(" {\"entity\":\"Todo\"} \r\n")); err != nil || c.Entity != "Todo" {
		t.Errorf("got %+v, %v", c, err)
	}
}
