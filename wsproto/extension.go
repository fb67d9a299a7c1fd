package wsproto

import "bytes"

// scanner reads a Sec-WebSocket-Extensions value: RFC 6455 9.1, with the tokens and the
// white space between them that RFC 2616 2.1 and 2.2 allow. bad is set by the first byte
// that doesn't belong, and stays.
type scanner struct {
	rest []byte
	bad  bool
}

// param takes one parameter of an extension. value is nil when it has none.
func (s *scanner) param() (name, value []byte) {
	name = s.token()
	if s.skip('=') {
		value = s.value()
	}
	return name, value
}

func (s *scanner) space() { s.rest = bytes.TrimLeft(s.rest, " \t") }

// skip takes c, and space on both sides of it, if it comes next.
func (s *scanner) skip(c byte) bool {
	s.space()
	if s.bad || len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	s.space()
	return true
}

func (s *scanner) token() []byte {
	n := 0
	for n < len(s.rest) && tokenChar[s.rest[n]] {
		n++
	}
	token := s.rest[:n]
	s.rest = s.rest[n:]
	s.bad = s.bad || n == 0
	return token
}

// value is a token, or a quoted string that is one when unquoted (RFC 6455 9.1).
func (s *scanner) value() []byte {
	if len(s.rest) == 0 || s.rest[0] != '"' {
		return s.token()
	}
	for i := 1; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '"':
			value := unquoted(s.rest[1:i])
			s.rest = s.rest[i+1:]
			s.bad = s.bad || !isToken(value)
			return value
		}
	}
	s.bad = true
	return nil
}

// unquoted takes the backslashes out that stand before another character.
func unquoted(p []byte) []byte {
	if bytes.IndexByte(p, '\\') < 0 {
		return p
	}
	value := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] == '\\' {
			i++
		}
		value = append(value, p[i])
	}
	return value
}
