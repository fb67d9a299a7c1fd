package hub

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendJSONString appends s as a JSON string. It escapes only what RFC 8259, section 7
// says must be: encoding/json would also rewrite <, > and & for the sake of HTML pages.
// Bytes that aren't UTF-8 become U+FFFD, because a text message that has any costs the
// client its connection (RFC 6455, section 8.1).
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0 // start of what isn't appended yet and needs no escape
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				dst = append(dst, s[plain:i]...)
				dst = appendEscape(dst, c)
				plain = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[plain:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
			plain = i + 1
		}
		i += size
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// unquote is what a JSON string stands for; quoted has its quotes and must be valid. The
// result is a view of quoted unless there are escapes in it. A lone surrogate escape
// becomes U+FFFD: it stands for no character, and UTF-8 has no bytes for it.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return nil
	}
	return []byte(s)
}
