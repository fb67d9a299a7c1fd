package message

import (
	"strconv"
	"unicode/utf8"
)

// member is one key, with quotes and escapes, and value of a client's message.
type member struct{ key, value []byte }

// is reports whether the key decodes to the name, however it is spelled. The name is of ASCII
// letters and underscores.
//
// It doesn't decode the key: a message may have ten thousand keys with escapes in them, and
// is read on an event loop.
func (m member) is(name string) bool {
	return spells(m.key, name)
}

// says is whether the value is a string that decodes to the word, which is like a name.
func (m member) says(word string) bool { return m.value[0] == '"' && spells(m.value, word) }

func spells(quoted []byte, name string) bool {
	rest := quoted[1 : len(quoted)-1]
	for _, letter := range []byte(name) {
		switch {
		case len(rest) > 0 && rest[0] == letter:
			rest = rest[1:]
		case escaped(rest) == rune(letter):
			rest = rest[escapeLen:]
		default:
			return false
		}
	}
	return len(rest) == 0
}

// foldedLen is the length of the longest name that fold is asked about, clientIds.
const foldedLen = 9

// fold is the key as a decoder sees it that doesn't tell capitals from small letters: in
// small letters, by Unicode's simple folding, by which ſ (U+017F) is an s and the Kelvin
// sign (U+212A) a k. It is nil for a key that isn't of ASCII letters then, or is longer than
// the buffer. Like is it decodes nothing else, and allocates nothing.
func (m member) fold(into *[foldedLen]byte) []byte {
	rest := m.key[1 : len(m.key)-1]
	n := 0
	for ; len(rest) > 0; n++ {
		letter, size := rune(rest[0]|toSmall), 1
		if letter < 'a' || letter > 'z' {
			letter, size = foldRare(rest)
		}
		if size == 0 || n == len(into) {
			return nil
		}
		into[n], rest = byte(letter), rest[size:]
	}
	return into[:n]
}

// toSmall is the bit that makes a small letter of a capital in ASCII; no other character
// becomes a letter by it.
const toSmall = 'a' - 'A'

// foldRare is fold for one letter that doesn't stand there as itself, and how many bytes
// that takes: 0 when it is none.
func foldRare(text []byte) (letter rune, size int) {
	switch letter, size = utf8.DecodeRune(text); letter {
	case '\\':
		letter, size = escaped(text), escapeLen
	case 'ſ', '\u212A':
	default:
		return 0, 0
	}
	switch letter {
	case 'ſ':
		return 's', size
	case '\u212A':
		return 'k', size
	}
	if letter |= toSmall; letter < 'a' || letter > 'z' {
		return 0, 0
	}
	return letter, size
}

// escapeLen is the length of \u0066, which is the only escape that a letter has (RFC 8259 7).
const escapeLen = 6

// escaped is the UTF-16 unit whose \u escape text begins with, -1 when it begins with none.
func escaped(text []byte) rune {
	if len(text) < escapeLen || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(text[2:escapeLen]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}
