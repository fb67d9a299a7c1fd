package conformance

import "fmt"

func pingCases() []conversation {
	cases := []conversation{
		comesBack("a hundred pings in one go", "5.5.2", repeat(100, ping("again")), many(100, gotPong("again"))...),
		comesBack("a pong that nobody asked for", "5.5.3", pong("")),
		comesBack("a pong with a payload that nobody asked for", "5.5.3", pong("unsolicited")),
		comesBack("a pong of 125 bytes, then a ping", "5.5.3", pong(filler(125))+ping("p"), gotPong("p")),
		comesBack("ten pongs in one go", "5.5.3", repeat(10, pong("p"))),
		comesBack("pong, ping, pong", "5.5.3", pong("a")+ping("b")+pong("c"), gotPong("b")),
		comesBack("pings answered in their order", "5.5.2", ping("1")+ping("2")+ping("3"), gotPong("1"), gotPong("2"), gotPong("3")),
		comesBack("pings between messages", "5.5.2", text("a")+ping("1")+data("b")+ping("2"),
			gotText("a"), gotPong("1"), gotData("b"), gotPong("2")),
		comesBack("a ping that isn't UTF-8", "5.5.2", ping("\xfe\xff\xc0\x80"), gotPong("\xfe\xff\xc0\x80")),
		fails("a ping, then garbage", "5.5.2", 1002, ping("1")+"\xff\xff", gotPong("1")),
	}
	for _, n := range []int{0, 1, 2, 64, 124, 125} {
		cases = append(cases, comesBack(fmt.Sprintf("a ping of %d bytes", n), "5.5.2", ping(bits(n)), gotPong(bits(n))))
	}
	for name, op := range map[string]byte{"ping": opPing, "pong": opPong, "close": opClose} {
		b0 := fin | op
		cases = append(cases,
			fails("a "+name+" of 126 bytes", "5.5", 1002, header(b0, 126)+masked(filler(126), mask)),
			fails("a "+name+" that announces 126 bytes", "5.5", 1002, header(b0, 126)),
			fails("a "+name+" of 65536 bytes", "5.5", 1002, header(b0, 65536)),
			fails("a "+name+" of one byte announced in 16 bits", "5.2, 5.5", 1002, mediumHeader(b0, 1)),
			fails("a fragmented "+name, "5.5", 1002, raw(op, "")),
			fails("a fragmented "+name+" inside a message", "5.5", 1002, first(opText, "a")+raw(op, "")),
			fails("a fragmented "+name+", then its continuation", "5.4, 5.5", 1002, raw(op, "")+last("x")),
		)
	}
	return cases
}
