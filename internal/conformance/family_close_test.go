package conformance

import (
	"fmt"
	"strings"
)

func closeCases() []conversation {
	cases := []conversation{
		// 7.1.5: no code is 1005, which must not be sent; this server answers that nothing was wrong.
		fails("an empty Close", "5.5.1, 7.4.1", 1000, raw(fin|opClose, "")),
		fails("a Close of one byte", "5.5.1", 1002, raw(fin|opClose, "\x03")),
		fails("a Close that announces one byte", "5.5.1", 1002, header(fin|opClose, 1)),
		fails("a reason of 123 bytes", "5.5", 1000, closing(1000, filler(123))),
		fails("a reason of 124 bytes", "5.5", 1002, closing(1000, filler(124))),
		fails("a reason in UTF-8", "5.5.1, 8.1", 1000, closing(1000, "Grüße 🚌")),
		fails("a message, then Close", "5.5.1", 1000, text("a")+closing(1000, ""), gotText("a")),
		fails("a hundred messages, then Close", "5.5.1", 1000, repeat(100, text("m"))+closing(1000, ""), many(100, gotText("m"))...),
		fails("a ping, then Close", "5.5.1", 1000, ping("p")+closing(1000, ""), gotPong("p")),
		fails("a message, a ping, then Close", "5.5.1", 4999, text("a")+ping("p")+closing(4999, "bye"), gotText("a"), gotPong("p")),
		fails("a violation, then Close", "7.1.7", 1002, raw(fin|3, "")+closing(1000, "")),
		fails("a message, a violation, then a message", "7.1.7", 1002, text("a")+raw(fin|3, "")+text("b"), gotText("a")),
		fails("text that is bad, then Close", "7.1.7, 8.1", 1007, text("\xff")+closing(1000, "")),
		{name: "64 KiB, then Close", rfc: "5.5.1", send: data(bits(1<<16)) + closing(1000, ""), want: []frame{gotData(bits(1 << 16))}, code: 1000, large: true},
	}
	for name, behind := range map[string]string{
		"a message": text("x"), "a ping": ping("x"), "a pong": pong("x"), "another Close": closing(1000, ""),
		"a Close with another code": closing(4000, ""), "a violation": raw(fin|3, ""), "garbage": "\xff\xff\xff\xff",
		"an unmasked frame": "\x81\x01x", "bad text": text("\xff"), "a message in two": first(opText, "a") + last("b"),
		"a hundred pings": repeat(100, ping("x")), "half a header": "\x81",
	} {
		cases = append(cases,
			conversation{name: "a Close, then " + name, rfc: "5.5.1", send: closing(1000, "") + behind, code: 1000, dropped: true},
			conversation{name: "a message, a Close, then " + name, rfc: "5.5.1", send: text("m") + closing(1000, "") + behind,
				want: []frame{gotText("m")}, code: 1000, dropped: true})
	}
	return append(append(cases, closeCodeCases()...), closeReasonCases()...)
}

// closeCodeCases are the borders of RFC 6455 7.4.1 and 7.4.2 and of IANA's registry.
func closeCodeCases() []conversation {
	var cases []conversation
	allowed := []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001, 4999}
	for _, code := range allowed {
		cases = append(cases, fails(fmt.Sprintf("code %d", code), "7.4", code, closing(code, "")),
			fails(fmt.Sprintf("code %d and a reason", code), "7.4", code, closing(code, "reason")))
	}
	for _, code := range []int{0, 1, 125, 255, 256, 500, 998, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1100, 1999,
		2000, 2001, 2500, 2998, 2999, 5000, 5001, 5999, 9999, 10000, 16384, 32767, 32768, 65534, 65535} {
		cases = append(cases, fails(fmt.Sprintf("code %d", code), "7.4.1, 7.4.2", 1002, closing(code, "")),
			fails(fmt.Sprintf("code %d and a reason", code), "7.4.1, 7.4.2", 1002, closing(code, "reason")))
	}
	return cases
}

func closeReasonCases() []conversation {
	var cases []conversation
	for _, s := range append(invalidText(), unfinishedText()...) {
		cases = append(cases, fails(fmt.Sprintf("the reason % x", s), "5.5.1, 8.1", 1007, closing(1000, "a"+s)))
	}
	for _, s := range validText() {
		if len(s) <= 123 {
			cases = append(cases, fails(fmt.Sprintf("the reason %q", s), "5.5.1, 8.1", 1000, closing(1000, s)))
		}
	}
	longest := strings.Repeat("é", 61) + "a"
	return append(cases, fails("a reason of 123 bytes in UTF-8", "5.5, 8.1", 3000, closing(3000, longest)),
		fails("a reason of 123 bytes whose last is the first of two", "8.1", 1007, closing(3000, longest[:122]+"\xc3")))
}
