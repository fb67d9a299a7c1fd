package wsproto

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

const (
	deflateGranted   = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	deflateGranted15 = deflateGranted + "; server_max_window_bits=15"
)

// What is answered to an offer, empty when it is declined. Each is also tried with the
// plain offer behind it, which is then the one that is accepted.
var deflateOffers = []struct{ name, offer, want string }{
	{"7.1 without parameters", "permessage-deflate", deflateGranted},
	{"7.1.1.1 server_no_context_takeover", "permessage-deflate; server_no_context_takeover", deflateGranted},
	{"7.1.1.1 with a value", "permessage-deflate; server_no_context_takeover=1", ""},
	{"7.1.1.1 with a quoted value", `permessage-deflate; server_no_context_takeover="true"`, ""},
	{"7.1.1.2 client_no_context_takeover", "permessage-deflate; client_no_context_takeover", deflateGranted},
	{"7.1.1.2 with a value", "permessage-deflate; client_no_context_takeover=0", ""},
	{"7.1.2.1 server_max_window_bits of 15", "permessage-deflate; server_max_window_bits=15", deflateGranted15},
	{"7.1.2.1 quoted", `permessage-deflate; server_max_window_bits="15"`, deflateGranted15},
	{"7.1.2.1 quoted, with a backslash", `permessage-deflate; server_max_window_bits="\1\5"`, deflateGranted15},
	{"7.1.2.1 a small window", "permessage-deflate; server_max_window_bits=10", deflateGranted + "; server_max_window_bits=10"},
	{"7.1.2.1 the least", "permessage-deflate; server_max_window_bits=8", deflateGranted + "; server_max_window_bits=8"},
	{"7.1.2.1 the most that is small", `permessage-deflate; server_max_window_bits="14"; client_max_window_bits`, deflateGranted + "; server_max_window_bits=14"},
	{"5 the first of two small windows", "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=14", deflateGranted + "; server_max_window_bits=9"},
	{"7.1.2.1 twice", "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", ""},
	{"7.1.2.1 too few", "permessage-deflate; server_max_window_bits=7", ""},
	{"7.1.2.1 too many", "permessage-deflate; server_max_window_bits=16", ""},
	{"7.1.2.1 without a value", "permessage-deflate; server_max_window_bits", ""},
	{"7.1.2.1 leading zero", "permessage-deflate; server_max_window_bits=015", ""},
	{"7.1.2.1 a sign", "permessage-deflate; server_max_window_bits=+15", ""},
	{"7.1.2.1 not a number", "permessage-deflate; server_max_window_bits=x", ""},
	{"7.1.2.1 hexadecimal", "permessage-deflate; server_max_window_bits=0xf", ""},
	{"7.1.2.2 client_max_window_bits", "permessage-deflate; client_max_window_bits", deflateGranted},
	{"7.1.2.2 the least", "permessage-deflate; client_max_window_bits=8", deflateGranted},
	{"7.1.2.2 quoted", `permessage-deflate; client_max_window_bits="9"`, deflateGranted},
	{"7.1.2.2 the most", "permessage-deflate; client_max_window_bits=15", deflateGranted},
	{"7.1.2.2 too few", "permessage-deflate; client_max_window_bits=7", ""},
	{"7.1.2.2 too many", "permessage-deflate; client_max_window_bits=16", ""},
	{"7.1.2.2 leading zero", "permessage-deflate; client_max_window_bits=08", ""},
	{"7.1.2.2 ten times too many", "permessage-deflate; client_max_window_bits=150", ""},
	{"7.1 all four", "permessage-deflate;server_no_context_takeover;client_no_context_takeover;server_max_window_bits=15;client_max_window_bits=12", deflateGranted15},
	{"7.1 unknown parameter", "permessage-deflate; window=15", ""},
	{"7.1 unknown beside known ones", "permessage-deflate; client_max_window_bits; x", ""},
	{"7.1 parameter in another case", "permessage-deflate; Client_Max_Window_Bits", ""},
	{"7.1 twice the same", "permessage-deflate; client_no_context_takeover; client_no_context_takeover", ""},
	{"7.1 twice, with and without a value", "permessage-deflate; client_max_window_bits; client_max_window_bits=10", ""},
	{"7.1 unknown parameter twice", "permessage-deflate; x; x", ""},
	{"9.1 space wherever it may be", " permessage-deflate\t; client_max_window_bits = 10 ;server_no_context_takeover ", deflateGranted},
	{"9.1 empty elements", ", ,permessage-deflate, ,", deflateGranted},
	{"another extension", "permessage-bzip2; level=9", ""},
	{"a longer name", "permessage-deflate-x", ""},
	{"a name in another case", "Permessage-Deflate", ""},
	{"the name of the drafts' extension", "x-webkit-deflate-frame", ""},
	{"5 several offers in order of preference", "permessage-deflate; server_max_window_bits=10; client_max_window_bits, x-foo; a=b, permessage-deflate; server_max_window_bits=15, permessage-deflate", deflateGranted15},
	{"5 a declined offer's parameters aren't the next one's", "permessage-deflate; server_max_window_bits=9, permessage-deflate; client_max_window_bits", deflateGranted},
}

// RFC 7692 5.1 and 7.1, RFC 6455 9.1.
func TestDeflateOffers(t *testing.T) {
	for _, c := range deflateOffers {
		t.Run(c.name, func(t *testing.T) {
			expectAccepted(t, c.want, "Sec-WebSocket-Extensions: "+c.offer)
			second := c.want
			if second == "" || limited(second) {
				second = deflateGranted
			}
			expectAccepted(t, second, "Sec-WebSocket-Extensions: "+c.offer+", permessage-deflate")
			expectAccepted(t, second, "sec-websocket-extensions:"+c.offer, "X: y", "SEC-WEBSOCKET-EXTENSIONS: permessage-deflate")
		})
	}
	expectAccepted(t, "")
}

// limited says that what was accepted is a small window.
func limited(accepted string) bool {
	return strings.Contains(accepted, "server_max_window_bits") && accepted != deflateGranted15
}

// expectAccepted upgrades a request with the lines, and says what of them is accepted.
func expectAccepted(t *testing.T, want string, lines ...string) {
	t.Helper()
	r := granted(t, upgradeHead("/", append(lines, "Sec-WebSocket-Protocol: bearer.t")...))
	expectAnswer(t, *r) // no extension without being asked
	without := bytes.Clone(r.Answer)
	if in, out := r.AcceptDeflate(); in != (want != "") || out != (in && !limited(want)) {
		t.Fatalf("%q: accepted is %t and %t, want %q", lines, in, out, want)
	}
	line := ""
	if want != "" {
		line = "Sec-WebSocket-Extensions: " + want + "\r\n"
	}
	if wanted := strings.TrimSuffix(string(without), "\r\n") + line + "\r\n"; string(r.Answer) != wanted {
		t.Errorf("%q: got %q, want %q", lines, r.Answer, wanted)
	}
}

// RFC 6455 9.1: what isn't in the grammar fails the connection, on or off. A request that
// is refused for another reason is told that one.
func TestMalformedExtensions(t *testing.T) {
	const header = "Sec-WebSocket-Extensions: "
	for _, value := range []string{
		"", ",", " , ", ";", "=", "permessage-deflate;", "permessage-deflate; ;x", "; x", "permessage-deflate x",
		"permessage-deflate; x=", "permessage-deflate; =x", "permessage-deflate; x==y", "permessage-deflate; x=y z",
		`permessage-deflate; x="`, `permessage-deflate; x=""`, `permessage-deflate; x="a b"`, `permessage-deflate; x="a\"b"`, `permessage-deflate; x="a\`,
		`permessage-deflate; x="a"b`, `"permessage-deflate"`, "permessage-deflate; x=(y)", "caf\xe9", "a/b", "permessage-deflate, a b",
	} {
		if _, refusal := ParseUpgrade([]byte(upgradeHead("/", header+value))); refusal != refuseExtensions {
			t.Errorf("%q: %+v", value, refusal)
		}
		_, refusal := ParseUpgrade([]byte(upgradeHead("/", header+"permessage-deflate", header+value)))
		if lists := strings.Trim(value, ", ") == ""; (refusal == nil) != lists {
			t.Errorf("%q behind a good line: %+v", value, refusal)
		}
		if _, refusal := ParseUpgrade([]byte(strings.Replace(upgradeHead("/", header+value), "Version: 13", "Version: 12", 1))); refusal != refuseVersion {
			t.Errorf("%q, and another version: %+v", value, refusal)
		}
	}
}

// The grammar of RFC 6455 9.1, written down another way.
const (
	oracleToken = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
	oracleSpace = `[ \t]*`
	oracleParam = oracleSpace + ";" + oracleSpace + "(" + oracleToken + ")(?:" + oracleSpace + "=" + oracleSpace +
		"(" + oracleToken + `|"(?:\\?[!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z])+"))?`
	oracleExtension = oracleToken + "(?:" + oracleParam + ")*"
)

var (
	oracleList  = regexp.MustCompile(`^(?:` + oracleSpace + `,)*` + oracleSpace + oracleExtension + `(?:` + oracleSpace + `,(?:` + oracleSpace + oracleExtension + `)?)*` + oracleSpace + `$`)
	oracleEach  = regexp.MustCompile(oracleExtension)
	oracleParts = regexp.MustCompile(oracleParam)
	oracleBits  = regexp.MustCompile(`^"?\\?([89]|1\\?[0-5])"?$`)
)

// oracleAnswer is what is to be accepted of a value that is in the grammar.
func oracleAnswer(value string) (small string) {
	for _, extension := range oracleEach.FindAllString(value, -1) {
		if name, _, _ := strings.Cut(extension, ";"); strings.Trim(name, " \t") != "permessage-deflate" {
			continue
		}
		seen, legal, window := map[string]bool{}, true, "15"
		for _, p := range oracleParts.FindAllStringSubmatch(extension, -1) {
			name, value := p[1], p[2]
			switch name {
			case "server_no_context_takeover", "client_no_context_takeover":
				legal = legal && value == ""
			case "client_max_window_bits":
				legal = legal && (value == "" || oracleBits.MatchString(value))
			case "server_max_window_bits":
				legal = legal && oracleBits.MatchString(value)
				window = strings.NewReplacer(`"`, "", `\`, "").Replace(value)
			default:
				legal = false
			}
			legal = legal && !seen[name]
			seen[name] = true
		}
		switch {
		case !legal:
		case window != "15" && small == "":
			small = deflateGranted + "; server_max_window_bits=" + window
		case window != "15":
		case seen["server_max_window_bits"]:
			return deflateGranted15
		default:
			return deflateGranted
		}
	}
	return small
}

// FuzzDeflateOffer: whatever a client offers, in one line or cut into two between
// extensions, is refused when it isn't in the grammar, and else answered as the RFC says.
func FuzzDeflateOffer(f *testing.F) {
	for _, c := range deflateOffers {
		f.Add(c.offer)
	}
	f.Add(`permessage-deflate; x="a\"b, permessage-deflate"`)
	f.Add("permessage-deflate; x=(y), permessage-deflate")
	f.Fuzz(func(t *testing.T, value string) {
		if !isText([]byte(value)) {
			return
		}
		r, refusal := ParseUpgrade([]byte(upgradeHead("/", "Sec-WebSocket-Extensions: "+value)))
		if !oracleList.MatchString(value) {
			if refusal != refuseExtensions && refusal != RefuseHeadTooLarge {
				t.Fatalf("%q isn't in the grammar: %+v", value, refusal)
			}
			return
		}
		if refusal != nil {
			if refusal != RefuseHeadTooLarge {
				t.Fatalf("%q is in the grammar: %+v", value, refusal)
			}
			return
		}
		want := oracleAnswer(value)
		if got, _ := r.AcceptDeflate(); got != (want != "") || got && !bytes.Contains(r.Answer, []byte("Extensions: "+want+"\r\n")) {
			t.Fatalf("%q: accepted is %t, %q, want %q", value, got, r.Answer, want)
		}
		for at, c := range value {
			if c == ',' { // no comma is in quotes: it is no token character
				expectTwoLines(t, value[:at], value[at+1:], want)
			}
		}
	})
}

func expectTwoLines(t *testing.T, first, second, want string) {
	r, refusal := ParseUpgrade([]byte(upgradeHead("/", "Sec-WebSocket-Extensions: "+first, "Sec-WebSocket-Extensions: "+second)))
	if refusal == RefuseHeadTooLarge {
		return
	}
	if refusal != nil {
		t.Fatalf("%q and %q: %+v", first, second, refusal)
	}
	if in, _ := r.AcceptDeflate(); in != (want != "") || want != "" && !bytes.Contains(r.Answer, []byte("Extensions: "+want+"\r\n")) {
		t.Fatalf("%q and %q: %+v, want %q", first, second, r, want)
	}
}
