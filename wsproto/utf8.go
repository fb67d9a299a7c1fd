package wsproto

import "unicode/utf8"

// utf8State follows UTF-8 that arrives in pieces. It is owned by its Decoder;
// the zero value stands between two runes.
type utf8State struct {
	need   uint8 // continuation bytes that the current rune still lacks
	lo, hi uint8 // range of the next one, while need > 0
}

// between reports that no rune has been left unfinished.
func (s *utf8State) between() bool { return s.need == 0 }

// accept takes the next bytes of the text and reports whether all up to here can
// still become valid UTF-8. A bad byte is found in the call that brings it.
func (s *utf8State) accept(p []byte) bool {
	for s.need > 0 && len(p) > 0 {
		if !s.step(p[0]) {
			return false
		}
		p = p[1:]
	}
	// Whole runes go through the standard library's fast path; only the last
	// one, which may be unfinished, is taken byte by byte.
	whole := lastRune(p)
	if !utf8.Valid(p[:whole]) {
		return false
	}
	for _, b := range p[whole:] {
		if !s.step(b) {
			return false
		}
	}
	return true
}

// lastRune is where p's last rune starts if fewer than four bytes of it are
// there, else len(p).
func lastRune(p []byte) int {
	for i := len(p) - 1; i >= 0 && i >= len(p)-utf8.UTFMax+1; i-- {
		if utf8.RuneStart(p[i]) {
			return i
		}
	}
	return len(p)
}

// step takes one byte: RFC 3629 4, the table of well-formed sequences.
func (s *utf8State) step(b byte) bool {
	if s.need > 0 {
		ok := s.lo <= b && b <= s.hi
		s.need, s.lo, s.hi = s.need-1, 0x80, 0xbf
		return ok
	}
	s.lo, s.hi = 0x80, 0xbf
	switch {
	case b < 0x80:
		return true
	case b < 0xc2, b > 0xf4: // a continuation byte, an overlong form, or beyond U+10FFFF
		return false
	case b < 0xe0:
		s.need = 1
	case b < 0xf0:
		s.need = 2
	default:
		s.need = 3
	}
	switch b {
	case 0xe0:
		s.lo = 0xa0 // below: overlong
	case 0xed:
		s.hi = 0x9f // above: a surrogate
	case 0xf0:
		s.lo = 0x90 // below: overlong
	case 0xf4:
		s.hi = 0x8f // above: beyond U+10FFFF
	}
	return true
}
