package conformance

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
)

// Whoever changes what the daemon does about RFC 7692 adds the cases here. The family is
// skipped while the daemon has no -compression.

// deflated is a message as a client compresses it on its own: RFC 7692 7.2.1.
func deflated(payload string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err == nil {
		_, err = io.WriteString(w, payload)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// inflate undoes RFC 7692 7.2.2 for a message that was compressed on its own.
func inflate(payload string) (string, error) {
	// The four bytes that 7.2.1 takes away, and an empty last block, so that flate sees an end.
	const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	out, err := io.ReadAll(flate.NewReader(strings.NewReader(payload + tail)))
	return string(out), err
}

// agreedTo is what this server answers to every offer that it accepts: neither side keeps a
// window between messages.
const agreedTo = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

func compressionCases() []conversation {
	cases := append(deflateCases(), deflateViolations()...)
	for i := range cases {
		cases[i].extensions, cases[i].agreed = "permessage-deflate", agreedTo
	}
	cases = append(cases, offerCases()...)
	cases = append(cases, smallWindows()...)
	for i := range cases {
		cases[i].args = []string{"-compression", "on"}
	}
	return append(cases,
		conversation{name: "an offer while compression is off", rfc: "7692 5.1", extensions: "permessage-deflate", send: text("a"), want: []frame{gotText("a")}})
}

// The examples are RFC 7692's.
func deflateCases() []conversation {
	hello := gotText("Hello")
	large := filler(1 << 16)
	return []conversation{
		{name: "a block for each byte", rfc: "1951 3.2.4", send: raw(fin|rsv1|opText, strings.Repeat("\x00\x01\x00\xfe\xffa", 15_000)+"\x00"),
			want: []frame{gotText(strings.Repeat("a", 15_000))}, large: true},
		comesBack("one block", "7692 7.2.3.1", raw(fin|rsv1|opText, "\xf2\x48\xcd\xc9\xc9\x07\x00"), hello),
		comesBack("one block in two fragments", "7692 7.2.3.1", first(rsv1|opText, "\xf2\x48\xcd")+last("\xc9\xc9\x07\x00"), hello),
		comesBack("a block that isn't compressed", "7692 7.2.3.3", raw(fin|rsv1|opText, "\x00\x05\x00\xfa\xffHello\x00"), hello),
		comesBack("a block that says it is the last", "7692 7.2.3.4", raw(fin|rsv1|opText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), hello),
		comesBack("two blocks", "7692 7.2.3.5", raw(fin|rsv1|opText, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), hello),
		comesBack("an empty message", "7692 7.2.3.6", raw(fin|rsv1|opText, "\x00"), gotText("")),
		comesBack("a message that isn't compressed", "7692 6", text("plain"), gotText("plain")),
		comesBack("both kinds by turns", "7692 6", text("a")+raw(fin|rsv1|opText, deflated("b"))+data("c")+raw(fin|rsv1|opBinary, deflated("d")),
			gotText("a"), gotText("b"), gotData("c"), gotData("d")),
		comesBack("a fragment for each byte", "7692 6.1", deflatedPerByte("Hello Hello Hello"), gotText("Hello Hello Hello")),
		comesBack("a ping between the fragments", "7692 6.1", first(rsv1|opText, "\xf2\x48\xcd")+ping("p")+last("\xc9\xc9\x07\x00"), gotPong("p"), hello),
		comesBack("a ping of deflate data, which stays that", "7692 6.1", ping(deflated("p")), gotPong(deflated("p"))),
		comesBack("UTF-8", "7692 6.2", raw(fin|rsv1|opText, deflated("κόσμε 🚌")), gotText("κόσμε 🚌")),
		comesBack("binary", "7692 6", raw(fin|rsv1|opBinary, deflated(bits(3000))), gotData(bits(3000))),
		{name: "all that may come", rfc: "7692 6.2", send: raw(fin|rsv1|opText, deflated(large)), want: []frame{gotText(large)}, large: true},
		{name: "all that may come, of one byte", rfc: "7692 6.2", send: raw(fin|rsv1|opText, deflated(strings.Repeat("a", 1<<16))), want: []frame{gotText(strings.Repeat("a", 1<<16))}},
		comesBack("a plain one is answered by a compressed one", "7692 6", text(filler(1000)), frame{op: opText, payload: filler(1000), compressed: true}),
		comesBack("compressed both ways, time and again", "7692 7.1.1.1, 7.2.2", repeat(3, raw(fin|rsv1|opText, deflated(filler(1000)))),
			many(3, frame{op: opText, payload: filler(1000), compressed: true})...),
		comesBack("a hundred messages", "7692 7.2.2", repeat(100, raw(fin|rsv1|opText, deflated("again and again"))), many(100, gotText("again and again"))...),
	}
}

// smallWindows are clients that don't keep all of a window: RFC 7692 7.1.2.1. They are sent
// nothing that is compressed, which RFC 7692 6 leaves to the sender.
func smallWindows() []conversation {
	var cases []conversation
	for bits := 8; bits <= 14; bits++ {
		window := fmt.Sprint("; server_max_window_bits=", bits)
		c := comesBack("compressed one way,"+window[1:], "7692 7.1.2.1, 6", repeat(2, raw(fin|rsv1|opText, deflated(filler(1000)))),
			many(2, gotText(filler(1000)))...)
		c.extensions, c.agreed = "permessage-deflate"+window, agreedTo+window
		cases = append(cases, c)
	}
	return cases
}

func deflatedPerByte(payload string) string {
	packed := deflated(payload)
	send := first(rsv1|opText, packed[:1])
	for i := 1; i < len(packed); i++ {
		send += more(packed[i : i+1])
	}
	return send + last("")
}

func deflateViolations() []conversation {
	packed := deflated("Hello")
	return []conversation{
		fails("RSV1 on a continuation", "7692 6.1", 1002, first(rsv1|opText, packed[:2])+raw(fin|rsv1|opContinuation, packed[2:])),
		fails("RSV1 on a continuation of a plain message", "7692 6.1", 1002, first(opText, "a")+raw(fin|rsv1|opContinuation, "b")),
		fails("RSV1 on a ping", "7692 6.1", 1002, raw(fin|rsv1|opPing, "p")),
		fails("RSV1 on a pong", "7692 6.1", 1002, raw(fin|rsv1|opPong, "p")),
		fails("RSV1 on a close", "7692 6.1", 1002, raw(fin|rsv1|opClose, closePayload(1000, ""))),
		fails("RSV2", "6455 5.2", 1002, raw(fin|rsv2|opText, "x")),
		fails("RSV1 and RSV3", "6455 5.2", 1002, raw(fin|rsv1|rsv3|opText, packed)),
		fails("an unmasked compressed message", "6455 5.1", 1002, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"),
		// What can't be inflated has no code of its own: 1007, data that isn't what its message says.
		fails("no deflate data", "7692 7.2.2", 1007, raw(fin|rsv1|opText, "\xff\xff\xff\xff")),
		fails("a reserved block type", "1951 3.2.3", 1007, raw(fin|rsv1|opBinary, "\x07\x00")),
		fails("what the message before would be needed for", "7692 7.1.1.2", 1007,
			raw(fin|rsv1|opText, "\xf2\x48\xcd\xc9\xc9\x07\x00")+raw(fin|rsv1|opText, "\xf2\x00\x11\x00\x00"), gotText("Hello")),
		fails("text that isn't UTF-8", "6455 8.1, 7692 6.2", 1007, raw(fin|rsv1|opText, deflated("a\xff"))),
		fails("text that ends inside a character", "6455 8.1, 7692 6.2", 1007, raw(fin|rsv1|opText, deflated("a\xe2\x82"))),
		{name: "blocks without content, and no end of them", rfc: "7692 8, 6455 7.4.1", code: 1009, large: true,
			send: raw(fin|rsv1|opBinary, strings.Repeat("\x00\x00\x00\xff\xff", 100_000))},
		fails("a byte more than may come", "7692 6.2, 6455 7.4.1", 1009, raw(fin|rsv1|opBinary, deflated(strings.Repeat("\x00", 1<<16+1)))),
		fails("16 MiB in a few bytes", "7692 8, 6455 7.4.1", 1009, raw(fin|rsv1|opBinary, deflated(strings.Repeat("\x00", 16<<20)))),
	}
}

// offerCases are legal and illegal offers: RFC 7692 5.1, 7.1. One that is declined leaves the
// connection without compression, where RSV1 is forbidden.
func offerCases() []conversation {
	var cases []conversation
	for offer, agreed := range map[string]string{
		"permessage-deflate":                                                       agreedTo,
		"permessage-deflate; client_max_window_bits":                               agreedTo,
		"permessage-deflate; client_max_window_bits=10":                            agreedTo,
		`permessage-deflate; client_max_window_bits="9"`:                           agreedTo,
		"permessage-deflate;server_no_context_takeover;client_no_context_takeover": agreedTo,
		"permessage-deflate; server_max_window_bits=15":                            agreedTo + "; server_max_window_bits=15",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":        agreedTo,
		"permessage-deflate; server_max_window_bits=8":                             agreedTo + "; server_max_window_bits=8",
		"permessage-deflate; server_max_window_bits=14; client_max_window_bits":    agreedTo + "; server_max_window_bits=14",
		"permessage-deflate; unknown, permessage-deflate":                          agreedTo,
		"x-webkit-deflate-frame, permessage-deflate":                               agreedTo,
		"permessage-deflate, permessage-deflate":                                   agreedTo,
	} {
		cases = append(cases, conversation{name: "accepted: " + offer, rfc: "7692 5.1, 7.1", extensions: offer, agreed: agreed,
			send: raw(fin|rsv1|opText, deflated("a")), want: []frame{gotText("a")}})
	}
	for _, offer := range []string{
		"permessage-deflate; unknown", "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; client_no_context_takeover=x",
		"permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=16",
		"permessage-deflate; server_max_window_bits=015", "permessage-deflate; client_max_window_bits=7",
		"permessage-deflate; client_max_window_bits=16", "permessage-deflate; client_max_window_bits=x",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover", "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
		"x-webkit-deflate-frame", "permessage-bzip2", "PERMESSAGE-DEFLATE2",
	} {
		cases = append(cases, conversation{name: "declined: " + offer, rfc: "7692 5.1, 7.1", extensions: offer,
			send: text("plain") + raw(fin|rsv1|opText, deflated("a")), want: []frame{gotText("plain")}, code: 1002})
	}
	return cases
}
