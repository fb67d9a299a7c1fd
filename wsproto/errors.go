package wsproto

import (
	"strconv"

	"github.com/gobwas/ws"
)

// ProtocolError says why a client's stream can't be read any further. Values
// are built once and shared, so a flood of bad frames makes no garbage: don't
// change one.
type ProtocolError struct {
	Code   ws.StatusCode // for the Close frame that ends the connection: 1002, 1007 or 1009
	Reason string        // at most 123 bytes, fit for the same Close frame
}

// Error names the code and the reason.
func (e *ProtocolError) Error() string {
	return "reading a client's frame: " + e.Reason + " (close code " + strconv.Itoa(int(e.Code)) + ")"
}

func violation(reason string) *ProtocolError {
	return &ProtocolError{Code: ws.StatusProtocolError, Reason: reason}
}

// What Decode and ParseClose return.
var (
	errReservedBits       = violation("reserved bits set without an extension")
	errReservedOpcode     = violation("reserved opcode")
	errUnmasked           = violation("frame from a client is not masked")
	errFragmentedControl  = violation("control frame is fragmented")
	errLongControl        = violation("control frame is longer than 125 bytes")
	errNonMinimalLength   = violation("payload length is not minimally encoded")
	errLengthTopBit       = violation("payload length has its top bit set")
	errStrayContinuation  = violation("continuation frame without a message to continue")
	errInterruptedMessage = violation("new message inside a fragmented one")
	errShortClose         = violation("close payload of one byte")
	errCloseCode          = violation("close code is not allowed on the wire")

	errTextNotUTF8  = &ProtocolError{Code: ws.StatusInvalidFramePayloadData, Reason: "text message is not UTF-8"}
	errCloseNotUTF8 = &ProtocolError{Code: ws.StatusInvalidFramePayloadData, Reason: "close reason is not UTF-8"}
	errTooBig       = &ProtocolError{Code: ws.StatusMessageTooBig, Reason: "message is too big"}
)

// ErrInflate is what Decode returns for a compressed message that isn't deflate data. No
// RFC names its code; 1007 is for data that is inconsistent with the type of its message
// (RFC 6455 7.4.1), and 1002 would say that the frames were wrong, which they weren't.
var ErrInflate error = &ProtocolError{Code: ws.StatusInvalidFramePayloadData, Reason: "compressed message can't be inflated"}
