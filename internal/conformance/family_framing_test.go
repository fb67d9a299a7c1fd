package conformance

import (
	"fmt"
	"strings"
)

// edges are payload sizes on both sides of where the length's encoding changes (RFC 6455 5.2).
var edges = []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 124, 125, 126, 127, 128, 129, 255, 256, 1024, 4095, 4096, 65534, 65535, 65536}

func framingCases() []conversation {
	var cases []conversation
	for _, size := range edges {
		payload := filler(size)
		for _, c := range []conversation{
			comesBack(fmt.Sprintf("text of %d bytes", size), "5.2, 5.6", text(payload), gotText(payload)),
			comesBack(fmt.Sprintf("binary of %d bytes", size), "5.2, 5.6", data(bits(size)), gotData(bits(size))),
		} {
			c.large = size > 4096
			cases = append(cases, c)
		}
	}
	for _, n := range []int{0, 1, 125} {
		cases = append(cases,
			fails(fmt.Sprintf("%d bytes announced in 16 bits", n), "5.2", 1002, mediumHeader(fin|opText, uint16(n))+masked(filler(n), mask)),
			fails(fmt.Sprintf("%d bytes announced in 64 bits", n), "5.2", 1002, longHeader(fin|opBinary, uint64(n))+masked(filler(n), mask)))
	}
	return append(cases,
		fails("126 bytes announced in 64 bits", "5.2", 1002, longHeader(fin|opText, 126)),
		fails("65535 bytes announced in 64 bits", "5.2", 1002, longHeader(fin|opText, 65535)),
		fails("65536 with the top bit set", "5.2", 1002, longHeader(fin|opBinary, 1<<63|65536)),
		fails("a length of all ones", "5.2", 1002, longHeader(fin|opBinary, 1<<64-1)),
		comesBack("every byte there is", "5.6", data(bits(256)), gotData(bits(256))),
		comesBack("a hundred messages in one go", "5.4", repeat(100, text("m")), many(100, gotText("m"))...),
		comesBack("text, binary, text", "5.6", text("a")+data("\xff")+text("b"), gotText("a"), gotData("\xff"), gotText("b")),
		comesBack("an empty message between two", "5.6", text("a")+text("")+text("b"), gotText("a"), gotText(""), gotText("b")),
		comesBack("sizes that follow one another", "5.2", data(bits(125))+data(bits(126))+data(bits(127)),
			gotData(bits(125)), gotData(bits(126)), gotData(bits(127))),
	)
}

func maskingCases() []conversation {
	unmasked := func(b0 byte, payload string) string { return string([]byte{b0, byte(len(payload))}) + payload }
	with := func(mask, payload string) string {
		return string([]byte{fin | opText, 0x80 | byte(len(payload))}) + mask + masked(payload, mask)
	}
	cases := []conversation{
		fails("an unmasked text", "5.1", 1002, unmasked(fin|opText, "x")),
		fails("an unmasked binary", "5.1", 1002, unmasked(fin|opBinary, "x")),
		fails("an unmasked and empty message", "5.1", 1002, unmasked(fin|opText, "")),
		fails("an unmasked ping", "5.1", 1002, unmasked(fin|opPing, "x")),
		fails("an unmasked pong", "5.1", 1002, unmasked(fin|opPong, "")),
		fails("an unmasked close", "5.1", 1002, unmasked(fin|opClose, closePayload(1000, ""))),
		fails("an unmasked continuation", "5.1", 1002, first(opText, "a")+unmasked(fin|opContinuation, "b")),
		fails("an unmasked message behind a masked one", "5.1", 1002, text("a")+unmasked(fin|opText, "b"), gotText("a")),
		comesBack("a mask that changes from frame to frame", "5.3",
			with("\x01\x02\x03\x04", "one")+with("\xff\xfe\xfd\xfc", "two")+with("\x00\x00\x00\x01", "three"),
			gotText("one"), gotText("two"), gotText("three")),
	}
	for _, m := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\xff\x00\xff", "BUSB"} {
		cases = append(cases, comesBack(fmt.Sprintf("mask %x", m), "5.3", with(m, filler(93)), gotText(filler(93))))
	}
	return cases
}

// bits is n bytes that aren't text.
func bits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + 0x80)
	}
	return string(b)
}

func repeat(n int, s string) string { return strings.Repeat(s, n) }

func many(n int, f frame) []frame {
	frames := make([]frame, n)
	for i := range frames {
		frames[i] = f
	}
	return frames
}
