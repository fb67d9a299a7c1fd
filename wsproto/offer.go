package wsproto

import "strconv"

// extensions is what a client's Sec-WebSocket-Extensions lines say, taken together. It is
// owned by one run of ParseUpgrade.
type extensions struct {
	seen      bool // there was such a line
	count     int  // of extensions in them
	malformed bool
	chosen    offer // the first that lets both sides compress, else the first with a small window
}

// Neither side keeps a window between messages. A server may ask that of both, offered or
// not (RFC 7692 7.1.1.1 and 7.1.1.2): it is what lets one compressed message be right for
// every client, and an idle connection cost nothing.
//
// client_max_window_bits is never in the answer: without it a client may use what it likes
// (RFC 7692 7.1.2.2), and inflating takes the same window anyhow.
const acceptDeflate = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// line takes the value of one line. Several lines are one list (RFC 6455 9.1), in the order
// in which the client would like its offers accepted (RFC 7692 5). Elements may be empty
// (RFC 2616 2.1).
func (e *extensions) line(value []byte) {
	e.seen = true
	s := scanner{rest: value}
	for more := true; more; more = s.skip(',') {
		if s.space(); len(s.rest) > 0 && s.rest[0] != ',' {
			e.element(&s)
		}
	}
	e.malformed = e.malformed || s.bad || len(s.rest) > 0
}

func (e *extensions) element(s *scanner) {
	o := offer{ours: string(s.token()) == "permessage-deflate"}
	for s.skip(';') {
		if name, value := s.param(); !s.bad {
			o.param(name, value)
		}
	}
	if s.bad {
		return
	}
	e.count++
	// RFC 7692 5.1 lets a server choose: a later offer that allows the whole window is worth
	// more to the client than an earlier one with which it is only sent what isn't compressed.
	if o.ours && !o.declined && (!e.chosen.ours || e.chosen.small() && !o.small()) {
		e.chosen = o
	}
}

// accept is the line that accepts an offer, empty for none.
func (o *offer) accept() string {
	switch {
	case !o.ours:
		return ""
	case o.window == 0:
		return acceptDeflate
	}
	// RFC 7692 7.1.2.1: accepted by being in the answer, with the same value.
	return acceptDeflate + "; server_max_window_bits=" + strconv.Itoa(int(o.window))
}

// small says that the client wants to keep less than the whole window. A message is
// compressed once for all clients, with the whole of it, so this one is sent none that is:
// RFC 7692 6 leaves it to the sender which messages it compresses. That also spares it the
// window of 8 bits, which zlib makes one of 9.
func (o *offer) small() bool { return o.window != 0 && o.window < 15 }

// broken is RFC 6455 9.1: a value that doesn't conform to the grammar must fail the
// connection. So must a header that lists nothing: it has at least one element.
func (e *extensions) broken() bool { return e.malformed || e.seen && e.count == 0 }

// offer is one element of the list.
type offer struct {
	ours     bool  // it is for permessage-deflate
	declined bool  // RFC 7692 7.1: unknown, repeated or invalid parameters
	seen     uint8 // parameters that were there
	window   uint8 // server_max_window_bits, 0: not named
}

// The parameters of RFC 7692 7.1.
const (
	serverTakeover uint8 = 1 << iota
	clientTakeover
	serverBits
	clientBits
)

func (o *offer) param(name, value []byte) {
	kind, legal := uint8(0), false
	switch string(name) {
	case "server_no_context_takeover": // RFC 7692 7.1.1.1: no value
		kind, legal = serverTakeover, value == nil
	case "client_no_context_takeover": // RFC 7692 7.1.1.2: no value
		kind, legal = clientTakeover, value == nil
	case "server_max_window_bits":
		o.window = uint8(windowBits(value)) // RFC 7692 7.1.2.1: 8 to 15
		kind, legal = serverBits, o.window > 0
	case "client_max_window_bits": // RFC 7692 7.1.2.2: with or without a value
		kind, legal = clientBits, value == nil || windowBits(value) > 0
	}
	o.declined = o.declined || !legal || o.seen&kind != 0
	o.seen |= kind
}

// windowBits is a decimal number from 8 to 15 without leading zeros, 0 if p is none.
func windowBits(p []byte) int {
	switch {
	case len(p) == 1 && '8' <= p[0] && p[0] <= '9':
		return int(p[0] - '0')
	case len(p) == 2 && p[0] == '1' && '0' <= p[1] && p[1] <= '5':
		return 10 + int(p[1]-'0')
	}
	return 0
}
