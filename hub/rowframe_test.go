package hub

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// docs/protocol.md section 3: [type][entity_len][entity][row_id_len][row_id][payload].
func TestRowFrameLayout(t *testing.T) {
	got, err := AppendRowFrame([]byte("dst"), Incremental, "Todo", "é", []byte{1, 2})
	want := "dst\x11\x00\x04Todo\x00\x02é\x01\x02"
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// docs/protocol.md section 3: too long is an error to whoever publishes, never a truncated frame.
func TestRowFrameLimits(t *testing.T) {
	fits, over := strings.Repeat("n", 65_535), strings.Repeat("n", 65_536)
	for _, c := range []struct {
		kind          RowKind
		entity, rowID string
		field         string
	}{
		{Snapshot, fits, fits, ""},
		{Snapshot, "", "", ""},
		{Snapshot, over, "1", "entity"},
		{Incremental, "Todo", over, "row_id"},
		{Snapshot, "bad \xff", "1", "entity"},
		{Snapshot, "Todo", "bad \xff", "row_id"},
		{0x12, "Todo", "1", "kind"},
	} {
		got, err := AppendRowFrame([]byte("dst"), c.kind, c.entity, c.rowID, []byte("payload"))
		var wrong *FieldError
		if c.field == "" {
			frame, parseErr := ParseRowFrame(got[3:])
			if err != nil || parseErr != nil || frame.Entity != c.entity || frame.RowID != c.rowID {
				t.Errorf("%d and %d bytes: %v, %v", len(c.entity), len(c.rowID), err, parseErr)
			}
		} else if !errors.As(err, &wrong) || wrong.Field != c.field || string(got) != "dst" {
			t.Errorf("%s: got %d bytes, %v", c.field, len(got), err)
		}
	}
}

func TestParseRowFrameRefuses(t *testing.T) {
	for _, c := range []struct {
		frame string
		want  error
	}{
		{"", ErrRowFrameShort},
		{"\x10", ErrRowFrameShort},
		{"\x10\x00", ErrRowFrameShort},
		{"\x10\x00\x02a", ErrRowFrameShort},
		{"\x10\x00\x01a", ErrRowFrameShort},
		{"\x10\x00\x01a\x00", ErrRowFrameShort},
		{"\x11\x00\x01a\xff\xffb", ErrRowFrameShort},
		{"\x12\x00\x01a\x00\x01b", ErrRowFrameKind},
		{"{}", ErrRowFrameKind},
		{"\x10\x00\x01\xff\x00\x01b", ErrRowFrameText},
		{"\x10\x00\x01a\x00\x01\xff", ErrRowFrameText},
	} {
		if got, err := ParseRowFrame([]byte(c.frame)); !errors.Is(err, c.want) {
			t.Errorf("%q: got %v, %v, want %v", c.frame, got, err, c.want)
		}
	}
}

func FuzzRowFrame(f *testing.F) {
	f.Add([]byte("\x10\x00\x04Todo\x00\x011payload"))
	f.Add([]byte("\x11\x00\x00\x00\x00"))
	f.Add([]byte("\x10\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := ParseRowFrame(b)
		if err != nil {
			return
		}
		again, err := AppendRowFrame(nil, frame.Kind, frame.Entity, frame.RowID, frame.Payload)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q came back as %q, %v", b, again, err)
		}
	})
}

// Whatever a name contains, two rows have two keys.
func TestKeysOfRowsDontCollide(t *testing.T) {
	keys := make(map[string]bool)
	for _, n := range [][2]string{{"a|b", "c"}, {"a", "b|c"}, {"a\x00b", ""}, {"a", "\x00b"}, {"", "ab"}, {"ab", ""}, {"a/b", "c"}, {"a", "b/c"}} {
		key := keyOfRow(n[0], n[1])
		if entity, row := rowOfKey(key); entity != n[0] || row != n[1] || keys[key] {
			t.Errorf("the key of %q is that of %q, %q", n, entity, row)
		}
		keys[key] = true
	}
}
