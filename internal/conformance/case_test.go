package conformance

import (
	"slices"
	"strings"
	"sync"
)

// A conversation is one case: all that a client sends once it is upgraded, and all that the
// server must answer, in this order, however the stream is cut. It is read-only.
type conversation struct {
	name string
	rfc  string // the sections that it proves; RFC 6455 unless it says so

	send string
	want []frame // before the end
	code int     // of the Close that the server ends with; 0: the connection stays open

	// dropped: more follows the client's own Close, so that the end may be a reset.
	dropped bool
	// large: longer than the others, so not every split of it is tried.
	large bool
	// args are the daemon's besides -echo. Cases with the same ones share a daemon.
	args []string
	// extensions is the Sec-WebSocket-Extensions header that is offered, and agreed what
	// the server must say to it; both are empty for none.
	extensions, agreed string
}

// family is what cases have in common. Its cases are made once.
type family struct {
	name  string
	needs string // flag of the daemon without which the family fails
	cases []conversation
}

// families are all of them, in the order of docs/conformance.md. They are made once: some
// cases have megabytes.
var families = sync.OnceValue(func() []family {
	return []family{
		{name: "framing", cases: framingCases()},
		{name: "masking", cases: maskingCases()},
		{name: "pings", cases: pingCases()},
		{name: "reserved bits", cases: reservedBitCases()},
		{name: "opcodes", cases: opcodeCases()},
		{name: "fragmentation", cases: fragmentationCases()},
		{name: "utf-8", cases: utf8Cases()},
		{name: "close", cases: closeCases()},
		{name: "limits", cases: limitCases()},
		{name: "compression", needs: "-compression", cases: compressionCases()},
	}
})

// comesBack is a case in which every message and ping is answered and nothing ends.
func comesBack(name, rfc, send string, want ...frame) conversation {
	return conversation{name: name, rfc: rfc, send: send, want: want}
}

// fails is a case that the server ends with the code, after the frames in want.
func fails(name, rfc string, code int, send string, want ...frame) conversation {
	return conversation{name: name, rfc: rfc, send: send, code: code, want: want}
}

// The server's frames.
func gotText(payload string) frame { return frame{op: opText, payload: payload} }
func gotData(payload string) frame { return frame{op: opBinary, payload: payload} }
func gotPong(payload string) frame { return frame{op: opPong, payload: payload} }

// filler is n bytes of text that no rotation of itself equals.
func filler(n int) string {
	const pattern = "Busbar hands one feed to every socket. "
	return strings.Repeat(pattern, n/len(pattern)+1)[:n]
}

// hasServer is false when the daemon can't be told what the family needs.
func (f family) hasServer(help string) bool {
	return f.needs == "" || slices.Contains(strings.Fields(help), f.needs)
}
