package message

import (
	"bytes"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/wsproto"
)

// AppendString appends s as a JSON string. It escapes only what RFC 8259, section 7
// says must be: encoding/json would also rewrite <, > and & for the sake of HTML pages.
// Bytes that aren't UTF-8 become U+FFFD, because a text message that has any costs the
// client its connection (RFC 6455, section 8.1).
func AppendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s) // the error is about what became U+FFFD
	return dst
}

// QuotedSize is the length of what AppendString appends.
func QuotedSize(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return len(AppendString(nil, s))
		}
	}
	return len(s) + len(`""`)
}

// unquote is what a JSON string stands for; quoted has its quotes and must be valid. The
// result is a view of quoted unless there are escapes in it. A lone surrogate escape
// becomes U+FFFD: it stands for no character, and UTF-8 has no bytes for it.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // the error is about what became U+FFFD
	return text
}

// A text message is encoded once, where its frame keeps it: behind room for the frame's header,
// whose size its own tells.
const headerRoom = 10

// Room is a buffer to append a message of about so many bytes to.
func Room(size int) []byte { return make([]byte, headerRoom, headerRoom+size) }

// Wire puts the header before the message that was appended to Room's buffer.
func Wire(message []byte) []byte {
	size := len(message) - headerRoom
	wire := message[headerRoom-wsproto.HeaderSize(size):]
	wsproto.AppendHeader(wire[:0], ws.OpText, size)
	return wire
}

// Frame is a frame of the same.
func Frame(message []byte) *eventloop.Frame { return eventloop.FrameOf(Wire(message)) }
