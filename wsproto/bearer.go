package wsproto

import (
	"bytes"
	"unicode/utf8"
)

const bearerPrefix = "bearer."

// BearerProtocol picks the token out of a Sec-WebSocket-Protocol header's value,
// which is where a browser page can put one: the first comma-separated entry
// "bearer.<percent-encoded token>" that decodes to something. entry is that
// entry as it was offered, without the spaces around it, to be echoed; token is
// decoded. Both are copies. ok is false, and both are empty, when there is none.
//
// Decoding is strict: every % needs two hex digits, + is a space, and the
// result must be UTF-8 (docs/protocol.md section 1). An entry with bytes outside
// printable ASCII isn't one: RFC 6455 4.1 doesn't let a client offer it, and it
// couldn't be echoed safely.
func BearerProtocol(list []byte) (entry, token string, ok bool) {
	for len(list) > 0 {
		offered, rest, _ := bytes.Cut(list, []byte(","))
		list = rest
		offered = trim(offered)
		encoded, isBearer := bytes.CutPrefix(offered, []byte(bearerPrefix))
		if !isBearer || !printable(offered) {
			continue
		}
		if token, ok = decodeToken(encoded); ok {
			return string(offered), token, true
		}
	}
	return "", "", false
}

// decodeToken decodes percent escapes and +. Nothing, a malformed escape and a
// result that is not UTF-8 make no token.
func decodeToken(encoded []byte) (string, bool) {
	if len(encoded) == 0 {
		return "", false
	}
	if bytes.IndexByte(encoded, '%') < 0 && bytes.IndexByte(encoded, '+') < 0 {
		return string(encoded), true // printable ASCII, so UTF-8
	}
	token := make([]byte, 0, len(encoded))
	for i := 0; i < len(encoded); i++ {
		switch c := encoded[i]; c {
		case '+':
			token = append(token, ' ')
		case '%':
			if i+2 >= len(encoded) {
				return "", false
			}
			hi, lo := hexDigit(encoded[i+1]), hexDigit(encoded[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			token = append(token, byte(hi<<4|lo))
			i += 2
		default:
			token = append(token, c)
		}
	}
	return string(token), utf8.Valid(token)
}

// hexDigit is the value of c, -1 if it is no hex digit.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// printable reports that p has only ASCII from space to tilde.
func printable(p []byte) bool {
	for _, c := range p {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// trim cuts the optional whitespace of RFC 9110 5.6.3 from both ends.
func trim(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	for len(p) > 0 && (p[len(p)-1] == ' ' || p[len(p)-1] == '\t') {
		p = p[:len(p)-1]
	}
	return p
}
