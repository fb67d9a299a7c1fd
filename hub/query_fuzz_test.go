package hub

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Other parameters don't take the cursor away; a query that is malformed, or has two, is refused.
func TestSinceInOddQueries(t *testing.T) {
	for query, want := range map[string]uint64{
		"since=5": 5, "since=5&": 5, "x=&since=5": 5, "token=a.b&since=5&SINCE=6": 5, "%73ince=%37": 7, "since=0007": 7, "since=18446744073709551615": 1<<64 - 1,
	} {
		if since, given, err := sinceOf(query); since != want || !given || err != nil {
			t.Errorf("%q: %d, %v, %v", query, since, given, err)
		}
	}
	for _, query := range []string{"since=%zz", "since=7;a=b", "since=2999;limit=1", "since=2999%", "x=%&since=5", "a;b&since=5", "a;since=7", "%since=7",
		"since=5&since=6", "since=5&since=5", "since=", "since", "since=-1", "since=+1", "since=%2B1", "since=1.0", "since=1e3", "since= 1", "since=1_0",
		"since=1%00", "since=18446744073709551616"} {
		if since, given, err := sinceOf(query); given || err == nil {
			t.Errorf("%q is taken for %d, %v", query, since, given)
		}
	}
	for _, query := range []string{"", "&", "SINCE=7", "xsince=7", "a=since=7", "sinse=7"} {
		if since, given, err := sinceOf(query); given || err != nil {
			t.Errorf("%q has cursor %d, %v", query, since, err)
		}
	}
}

// A cursor is taken for what it says, or refused; there's none only where none was given.
func FuzzSince(f *testing.F) {
	for _, query := range []string{"", "since=0", "since=18446744073709551615", "since=18446744073709551616", "since=-1", "since=+1", "since=",
		"a=b&since=7&since=8", "SINCE=7", "since=7;a=b", "%73ince=%37", "since=%zz", "since=1%00", "&&&", "since", "x=%&since=7", "%since=7"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		since, given, err := sinceOf(query)
		switch {
		case err == nil && !given && strings.HasPrefix("&"+query, "&since="):
			t.Fatalf("%q: a cursor got lost", query)
		case !given && since != 0:
			t.Fatalf("%q: %d, and none was given", query, since)
		case given:
			values, _ := url.ParseQuery(query)
			text := values.Get("since")
			if strings.Trim(text, "0123456789") != "" || strconv.FormatUint(since, 10) != orZero(strings.TrimLeft(text, "0")) {
				t.Fatalf("%q: %d", query, since)
			}
		}
	})
}

func orZero(digits string) string {
	if digits == "" {
		return "0"
	}
	return digits
}

// What the allowlist lets in is on it: the same scheme and port, and a host that is an entry or
// below one. The browser's spelling of a host's case doesn't matter.
func FuzzOrigins(f *testing.F) {
	for _, entry := range []string{"https://app.example.com", "https://*.example.com", "http://localhost:3000", "*", "https://*.com", "https://a.*", "null", "https://[::1]:80"} {
		for _, header := range []string{"", "null", "https://app.example.com", "https://APP.example.com:443", "https://example.com", "https://x.y.example.com",
			"https://evilexample.com", "https://app.example.com.evil.org", "https://u@app.example.com", "http://app.example.com", "https://app.example.com/"} {
			f.Add(entry, header, "app.example.com:4322")
		}
	}
	f.Fuzz(func(t *testing.T, entry, header, host string) {
		list, err := ParseOrigins([]string{entry})
		if err != nil {
			return
		}
		if !list.Allow(header, host) || header == "" || entry == "*" || strings.TrimSpace(entry) == "*" {
			return
		}
		if o, ok := parseOrigin(header); !ok {
			t.Fatalf("%q lets in %q, which is no origin", entry, header)
		} else if again, ok := parseOrigin(o.String()); !ok || again != o {
			t.Fatalf("%q is %+v, and that is %+v", header, o, again)
		}
		if strings.ContainsFunc(entry+header, func(r rune) bool { return r > 0x7e || r == '[' }) {
			return // what is below has no punycode, and no IPv6
		}
		want, got := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(entry), "/")), strings.ToLower(strings.TrimSuffix(header, "/"))
		scheme, name, _ := strings.Cut(want, "://")
		gotScheme, gotName, _ := strings.Cut(got, "://")
		name, gotName = withoutUsualPort(scheme, name), withoutUsualPort(scheme, gotName)
		below, wildcard := strings.CutPrefix(name, "*")
		if scheme != gotScheme || (wildcard && !strings.HasSuffix(gotName, below)) || (!wildcard && gotName != name) {
			t.Fatalf("%q lets in %q", entry, header)
		}
	})
}

// portZeros are what may stand in front of a port without changing it.
var portZeros = regexp.MustCompile(":0+")

func withoutUsualPort(scheme, host string) string {
	usual := map[string]string{"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}[scheme]
	return strings.TrimSuffix(portZeros.ReplaceAllString(host, ":"), usual)
}
