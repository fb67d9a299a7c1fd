package conformance

// What may come in is -max-message-in bytes, 64 KiB unless it is said otherwise: RFC 6455 10.4
// wants a limit, 7.4.1 names the code.
func limitCases() []conversation {
	const most = 1 << 16
	large := []string{"-max-message-in", "4MiB"}
	small := []string{"-max-message-in", "1000"}
	cases := []conversation{
		{name: "a byte more than may come", send: data(bits(most + 1)), code: 1009},
		{name: "a byte more is announced", send: header(fin|opText, most+1), code: 1009},
		{name: "2^63-1 bytes are announced", send: longHeader(fin|opBinary, 1<<63-1), code: 1009},
		{name: "4 GiB are announced", send: longHeader(fin|opBinary, 1<<32), code: 1009},
		{name: "all that may come, in two", send: first(opBinary, bits(most/2)) + last(bits(most/2)), want: []frame{gotData(bits(most/2) + bits(most/2))}},
		{name: "a byte more, in two", send: first(opBinary, bits(most)) + last("x"), code: 1009},
		{name: "a byte more is announced by the second", send: first(opBinary, bits(most/2)) + header(opContinuation, most/2+1), code: 1009},
		{name: "all that may come, with pings inside, which don't count",
			send: first(opBinary, bits(most/2)) + ping(filler(125)) + more(bits(most/2)) + ping(filler(125)) + last(""),
			want: []frame{gotPong(filler(125)), gotPong(filler(125)), gotData(bits(most/2) + bits(most/2))}},
		{name: "it is the message that counts, not the connection", send: repeat(4, data(bits(most))), want: many(4, gotData(bits(most)))},
		{name: "a message, then one that is too big", send: text("a") + header(fin|opText, most+1), want: []frame{gotText("a")}, code: 1009},
		{name: "1000 bytes where that is the limit", args: small, send: data(bits(1000)), want: []frame{gotData(bits(1000))}},
		{name: "1001 bytes where 1000 are the limit", args: small, send: header(fin|opBinary, 1001), code: 1009},
		{name: "1000 empty fragments and a byte", args: small, send: first(opText, "") + repeat(1000, more("")) + last("x"), want: []frame{gotText("x")}},
		{name: "1000 fragments of a byte, and one more", args: small, send: first(opText, "a") + repeat(999, more("b")) + last("c"), code: 1009},
		{name: "4 MiB of text", args: large, send: text(filler(4 << 20)), want: []frame{gotText(filler(4 << 20))}},
		{name: "4 MiB of binary", args: large, send: data(bits(4 << 20)), want: []frame{gotData(bits(4 << 20))}},
		{name: "4 MiB in fragments of 64 KiB", args: large, send: first(opText, filler(1<<16)) + repeat(62, more(filler(1<<16))) + last(filler(1<<16)),
			want: []frame{gotText(repeat(64, filler(1<<16)))}},
		{name: "1 MiB in fragments of 1 KiB", args: large, send: first(opBinary, bits(1<<10)) + repeat(1022, more(bits(1<<10))) + last(bits(1<<10)),
			want: []frame{gotData(repeat(1024, bits(1<<10)))}},
	}
	for i := range cases {
		cases[i].rfc, cases[i].large = "7.4.1, 10.4", true
	}
	return cases
}
