package wsproto

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Codes of IANA's WebSocket close code registry which gobwas/ws doesn't name.
const (
	StatusServiceRestart ws.StatusCode = 1012
	StatusTryAgainLater  ws.StatusCode = 1013
)

// CloseCode describes a code that the server sends in a Close frame. It is a
// plain value.
type CloseCode struct {
	Code    ws.StatusCode
	Meaning string
	Retry   bool // whether the client should come back by itself
}

// closeCodes is docs/protocol.md section 3, in ascending order.
var closeCodes = [...]CloseCode{
	{ws.StatusNormalClosure, "normal", false},
	{ws.StatusProtocolError, "protocol error", false},
	{ws.StatusInvalidFramePayloadData, "invalid UTF-8, or data that can't be inflated", false},
	{ws.StatusPolicyViolation, "policy: unauthorised, session revoked or expired, rate abuse", false},
	{ws.StatusMessageTooBig, "message too big", false},
	{ws.StatusInternalServerError, "internal error", true},
	{StatusServiceRestart, "server draining", true},
	{StatusTryAgainLater, "too slow or over capacity: try again later", true},
}

// CloseCodes is the table of codes that the server sends, in ascending order.
// The caller owns the copy.
func CloseCodes() []CloseCode {
	return append([]CloseCode(nil), closeCodes[:]...)
}

// LookupClose finds code among those that the server sends.
func LookupClose(code ws.StatusCode) (CloseCode, bool) {
	for _, c := range closeCodes {
		if c.Code == code {
			return c, true
		}
	}
	return CloseCode{}, false
}

// ValidOnWire reports whether a Close frame may carry code.
func ValidOnWire(code ws.StatusCode) bool {
	switch {
	case code >= 3000 && code <= 4999: // RFC 6455 7.4.2: libraries and applications
		return true
	case code < 1000 || code > 1014: // RFC 6455 7.4.2: unused, or reserved for the protocol's future; 1015 is for local use
		return false
	}
	// RFC 6455 7.4.1: 1004 has no meaning yet, 1005 and 1006 are for local use.
	return code < 1004 || code > 1006
}

// ParseClose reads a Close frame's payload. An empty one is code 1005
// (RFC 6455 7.1.5). The error is a *ProtocolError: 1002 for a payload of one
// byte or a code that is not ValidOnWire, 1007 for a reason that is not UTF-8.
func ParseClose(payload []byte) (code ws.StatusCode, reason string, err error) {
	code, err = closeCode(payload)
	if err != nil || len(payload) == 0 {
		return code, "", err
	}
	return code, string(payload[2:]), nil
}

// closeCode is ParseClose without the copy of the reason.
func closeCode(payload []byte) (ws.StatusCode, error) {
	switch len(payload) {
	case 0:
		return ws.StatusNoStatusRcvd, nil
	case 1: // RFC 6455 5.5.1: a body begins with a code of two bytes
		return 0, errShortClose
	}
	code := ws.StatusCode(binary.BigEndian.Uint16(payload))
	if !ValidOnWire(code) {
		return 0, errCloseCode
	}
	if !utf8.Valid(payload[2:]) { // RFC 6455 8.1
		return 0, errCloseNotUTF8
	}
	return code, nil
}

// closeSoFar judges the beginning of a payload that closeCode will judge whole. It starts
// anew with each piece, of what are 125 bytes at most.
func closeSoFar(payload []byte) error {
	if len(payload) < 2 {
		return nil
	}
	if !ValidOnWire(ws.StatusCode(binary.BigEndian.Uint16(payload))) {
		return errCloseCode
	}
	var runes utf8State
	if !runes.accept(payload[2:]) {
		return errCloseNotUTF8
	}
	return nil
}
