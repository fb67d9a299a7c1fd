package conformance

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// validText is the borders of every length of encoding (RFC 3629 3 and 4), and the code
// points that aren't characters, which are still valid UTF-8.
func validText() []string {
	valid := []string{"", "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\ufeffwith a mark", "🚌🔌⚡", "\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\u0fff",
		"\u1000", "\ucfff", "\ud000", "\ud7ff", "\ue000", "\ufffd", "\ufdd0", "\ufdef", "\U00010000", "\U00040000",
		"\U00100000", "\U0010fffd"}
	for plane := rune(0); plane <= 0x10; plane++ {
		valid = append(valid, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return valid
}

// invalidText can't become valid whatever follows.
func invalidText() []string {
	invalid := []string{
		"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", // continuation bytes alone
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf", // overlong slashes
		"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf", // the highest overlong ones
		"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80", // overlong NULs
		"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf", // surrogates
		"\xed\xa0\x80\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf", // pairs of them
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf7\xbf\xbf\xbf", // beyond U+10FFFF
		"\xf8\x88\x80\x80\x80", "\xfb\xbf\xbf\xbf\xbf", "\xfc\x84\x80\x80\x80\x80", "\xfd\xbf\xbf\xbf\xbf\xbf", // five and six bytes
		"\xfe", "\xff", "\xfe\xfe\xff\xff",
		"\xe2\x28\xa1", "\xe2\x82\x28", "\xf0\x28\x8c\xbc", "\xf0\x90\x28\xbc", "\xf0\x90\x8c\x28", "\xc3\xc3\xa9", "\xe2\xe2\x82\xac", "\xf0\x9f\x9f\x9a\x8c",
		"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", "valid until here\xff",
	}
	for lead := 0xc0; lead <= 0xfd; lead++ { // one that starts something, and a space
		invalid = append(invalid, string([]byte{byte(lead)})+" ")
	}
	return invalid
}

// unfinishedText lacks its last bytes, so it is wrong where the text ends and not before.
func unfinishedText() []string {
	return []string{"\xc2", "\xdf", "\xe0\xa0", "\xe1", "\xef\xbf", "\xed\x9f", "\xf0\x90", "\xf0\x90\x80", "\xf3", "\xf4\x8f\xbf", "κόσμ\xce"}
}

// badAt is how many bytes of text there are when it is certain that it won't be valid.
func badAt(text string) int {
	for n := 1; n <= len(text); n++ {
		rest := text[:n]
		for len(rest) > 0 {
			r, size := utf8.DecodeRuneInString(rest)
			if r == utf8.RuneError && size == 1 {
				break
			}
			rest = rest[size:]
		}
		if rest != "" && utf8.FullRuneInString(rest) {
			return n
		}
	}
	return 0
}

func utf8Cases() []conversation {
	var cases []conversation
	for _, s := range validText() {
		cases = append(cases, comesBack(fmt.Sprintf("%+q", s), "8.1", text(s), gotText(s)))
		if len(s) > 1 {
			cases = append(cases, comesBack(fmt.Sprintf("%+q, a frame for each byte", s), "5.6, 8.1", perByteFrames(s), pingsThen(len(s)-1, gotText(s))...))
		}
	}
	for _, s := range invalidText() {
		name, bad := fmt.Sprintf("% x", s), badAt(s)
		upTo := s[:bad]
		cases = append(cases,
			fails(name, "8.1", 1007, text(s)),
			fails(name+" inside text", "8.1", 1007, text("before "+s+" after")),
			// The rest of the frame never comes: what is there has to be enough.
			fails(name+", and no more of the frame", "8.1, 7.1.7", 1007, header(fin|opText, 100)+masked("ab"+upTo, mask)),
			fails(name+", and no more of the message", "5.4, 8.1", 1007, first(opText, "ab"+upTo)),
		)
		if bad > 1 {
			cases = append(cases, fails(name+", cut in front of its bad byte", "5.6, 8.1", 1007,
				first(opText, upTo[:bad-1])+ping("so far")+header(fin|opContinuation, 50)+masked(upTo[bad-1:], mask), gotPong("so far")))
		}
	}
	for _, s := range unfinishedText() {
		cases = append(cases,
			fails(fmt.Sprintf("% x and nothing more", s), "8.1", 1007, text(s)),
			fails(fmt.Sprintf("% x, and the rest doesn't come", s), "5.6, 8.1", 1007, first(opText, s)+ping("so far")+last(""), gotPong("so far")),
			fails(fmt.Sprintf("% x, then a character", s), "5.6, 8.1", 1007, first(opText, s)+ping("so far")+last("a"), gotPong("so far")))
	}
	long := strings.Repeat("€", 5000)
	return append(cases,
		comesBack("binary is not looked at", "5.6", data("\xff\xc0\x80"), gotData("\xff\xc0\x80")),
		comesBack("what one text ends with isn't the next one's beginning", "8.1", text("a\U0010ffff")+text("€"), gotText("a\U0010ffff"), gotText("€")),
		conversation{name: "15000 bytes, in a frame of 4000 and the rest", rfc: "5.6, 8.1", send: first(opText, long[:4000]) + last(long[4000:]), want: []frame{gotText(long)}, large: true},
		conversation{name: "15000 bytes, the last is bad", rfc: "8.1", send: text(long + "\xff"), code: 1007, large: true},
		conversation{name: "15000 bytes and a bad one of 60000", rfc: "8.1, 7.1.7", send: header(fin|opText, 60000) + masked(long+"\xff", mask), code: 1007, large: true},
	)
}

// perByteFrames is a text in a frame for each byte, and a ping between them, which an answer
// to shows that what has come isn't taken for wrong.
func perByteFrames(s string) string {
	send := first(opText, s[:1])
	for i := 1; i < len(s); i++ {
		send += ping("so far")
		if i == len(s)-1 {
			return send + last(s[i:])
		}
		send += more(s[i : i+1])
	}
	return send
}

func pingsThen(n int, f frame) []frame { return append(many(n, gotPong("so far")), f) }
