package hub

import (
	"strconv"
	"unicode/utf8"
)

// members walks over the top level of a JSON object without decoding it. It is a value
// for one walk by one goroutine.
//
// It looks at no more than it needs to tell members apart, so on text that isn't valid
// JSON it may see members that make no sense, but it stays within the text. Nested
// values are stepped over by counting brackets, not by recursion, so depth costs nothing.
type members struct {
	text []byte
	at   int
	end  int  // position of the closing brace, once next returned false
	ok   bool // whether the text was an object as far as it was walked
	more bool // whether a member must follow
}

// member is one key and value. All three are views of the text.
type member struct {
	key   []byte // with quotes and escapes
	value []byte // without the space around it
	span  []byte // everything between the commas or braces around the member
}

func walkMembers(text []byte) members {
	at := skipSpace(text, 0)
	if at >= len(text) || text[at] != '{' {
		return members{}
	}
	m := members{text: text, at: at + 1, ok: true}
	if first := skipSpace(text, at+1); first < len(text) && text[first] == '}' {
		m.end = first
		return m
	}
	m.more = true
	return m
}

// next finds the next member; false at the end, and then ok says whether it was the end
// of an object or of what could be understood.
func (m *members) next() (found member, more bool) {
	if !m.ok || !m.more {
		return member{}, false
	}
	m.ok = false
	start := skipSpace(m.text, m.at)
	keyEnd := skipString(m.text, start)
	colon := skipSpace(m.text, keyEnd)
	if keyEnd == start || colon >= len(m.text) || m.text[colon] != ':' {
		return member{}, false
	}
	value := skipSpace(m.text, colon+1)
	valueEnd := skipValue(m.text, value)
	after := skipSpace(m.text, valueEnd)
	if valueEnd == value || after >= len(m.text) || (m.text[after] != ',' && m.text[after] != '}') {
		return member{}, false
	}
	found = member{key: m.text[start:keyEnd], value: m.text[value:valueEnd], span: m.text[m.at:after]}
	m.ok, m.more = true, m.text[after] == ','
	m.at, m.end = after+1, after
	return found, true
}

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

func skipSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r') {
		at++
	}
	return at
}

// skipString is the position behind the string that starts at at, or at if none does.
func skipString(text []byte, at int) int {
	if at >= len(text) || text[at] != '"' {
		return at
	}
	for i := at + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return at
}

// skipValue is the position behind the value that starts at at, or at if none does.
func skipValue(text []byte, at int) int {
	if at >= len(text) {
		return at
	}
	switch text[at] {
	case '"':
		return skipString(text, at)
	case '{', '[':
		return skipNested(text, at)
	}
	for i := at; i < len(text); i++ {
		switch text[i] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return at
}

func skipNested(text []byte, at int) int {
	depth := 0
	for i := at; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			end := skipString(text, i)
			if end == i {
				return at
			}
			i = end - 1
		}
	}
	return at
}
