package wsproto

import (
	"errors"
	"testing"

	"github.com/gobwas/ws"
)

func TestValidOnWire(t *testing.T) {
	valid := map[int]bool{}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014} {
		valid[code] = true // RFC 6455 7.4.1 and IANA's registry
	}
	for code := 3000; code <= 4999; code++ {
		valid[code] = true // RFC 6455 7.4.2
	}
	for code := range 1 << 16 {
		if got := ValidOnWire(ws.StatusCode(code)); got != valid[code] {
			t.Errorf("%d: %t, want %t", code, got, valid[code])
		}
	}
}

func TestParseClose(t *testing.T) {
	for _, c := range []struct {
		name, payload string
		code          ws.StatusCode
		reason        string
		err           error
	}{
		{"7.1.5 no payload", "", ws.StatusNoStatusRcvd, "", nil},
		{"5.5.1 code alone", "\x03\xe8", 1000, "", nil},
		{"5.5.1 code and reason", "\x0f\xa0gone for tea ☕", 4000, "gone for tea ☕", nil},
		{"5.5.1 one byte", "\x03", 0, "", errShortClose},
		{"7.4.1 1005", "\x03\xed", 0, "", errCloseCode},
		{"7.4.2 0", "\x00\x00", 0, "", errCloseCode},
		{"8.1 reason", "\x03\xe8\xff", 0, "", errCloseNotUTF8},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, reason, err := ParseClose([]byte(c.payload))
			if code != c.code || reason != c.reason || !errors.Is(err, c.err) {
				t.Errorf("got %d %q %v, want %d %q %v", code, reason, err, c.code, c.reason, c.err)
			}
		})
	}
}

// docs/protocol.md section 3: Close codes sent.
func TestCloseCodes(t *testing.T) {
	want := []ws.StatusCode{1000, 1002, 1007, 1008, 1009, 1011, 1012, 1013}
	table := CloseCodes()
	if len(table) != len(want) {
		t.Fatalf("%d codes, want %d", len(table), len(want))
	}
	for i, c := range table {
		if c.Code != want[i] || c.Meaning == "" || !ValidOnWire(c.Code) {
			t.Errorf("entry %d is %+v, want code %d, a meaning, and that it may be sent", i, c, want[i])
		}
		if found, ok := LookupClose(c.Code); !ok || found != c {
			t.Errorf("LookupClose(%d) = %+v, %t", c.Code, found, ok)
		}
	}
	if _, ok := LookupClose(1003); ok {
		t.Error("1003 is never sent")
	}
	table[0].Meaning = "changed"
	if c, _ := LookupClose(1000); c.Meaning == "changed" {
		t.Error("the caller's copy is the table")
	}
}

// Every reason that Decode gives must fit the Close frame that it is for.
func TestReasonsFitCloseFrames(t *testing.T) {
	for _, e := range []*ProtocolError{
		errReservedBits, errReservedOpcode, errUnmasked, errFragmentedControl, errLongControl, errNonMinimalLength, errLengthTopBit,
		errStrayContinuation, errInterruptedMessage, errShortClose, errCloseCode, errTextNotUTF8, errCloseNotUTF8, errTooBig,
	} {
		frame := AppendClose(nil, e.Code, e.Reason)
		if code, reason, err := ParseClose(frame[2:]); err != nil || code != e.Code || reason != e.Reason {
			t.Errorf("%v: sent as %d %q (%v)", e, code, reason, err)
		}
		if _, ok := LookupClose(e.Code); !ok {
			t.Errorf("%v: its code isn't in the table", e)
		}
	}
}
