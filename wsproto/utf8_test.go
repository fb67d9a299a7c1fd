package wsproto

import (
	"testing"
	"unicode/utf8"
)

// canBecomeValid is the definition: some continuation of p is valid UTF-8.
func canBecomeValid(p []byte) bool {
	if utf8.Valid(p) {
		return true
	}
	for _, b := range [...]byte{0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf} {
		for more := range 3 {
			q := append([]byte(nil), p...)
			q = append(q, b)
			for range more {
				q = append(q, 0x80)
			}
			if utf8.Valid(q) {
				return true
			}
		}
	}
	return false
}

// Every sequence of up to four bytes that matter, cut everywhere, behind nothing
// and behind ASCII.
func TestUTF8State(t *testing.T) {
	edges := []byte{0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff}
	var sequence func(p []byte)
	sequence = func(p []byte) {
		checkUTF8(t, p)
		if len(p) < 4 && canBecomeValid(p) {
			for _, b := range edges {
				sequence(append(p[:len(p):len(p)], b))
			}
		}
	}
	sequence(nil)
	sequence([]byte("a"))
}

func checkUTF8(t *testing.T, p []byte) {
	t.Helper()
	for cut := range len(p) + 1 {
		var s utf8State
		ok := s.accept(p[:cut]) && s.accept(p[cut:])
		if want := canBecomeValid(p); ok != want {
			t.Fatalf("% x cut at %d: accepted %t, want %t", p, cut, ok, want)
		}
		if ok && s.between() != utf8.Valid(p) {
			t.Fatalf("% x cut at %d: between runes %t, want %t", p, cut, s.between(), utf8.Valid(p))
		}
	}
}
