package cli

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Value is what a flag is bound to.
type Value struct {
	Unit    string                 // what stands for it in the help; empty for a switch
	Accepts string                 // ends the sentence `"x" isn't …`
	Set     func(text string) bool // false: refused, and nothing is changed
	Show    func() string          // as Set takes it
	Mask    func(string) string    // what may be shown of a text; nil: all of it
	Bytes   bool                   // a text needn't be UTF-8, as files' names needn't; in JSON another would become a different one
}

type number interface{ int | float64 | time.Duration }

// ranged is a number from low to high.
func ranged[N number](p *N, unit, accepts string, low, high int, parse func(string) (int, error), format func(int) string) Value {
	return Value{Unit: unit, Accepts: accepts, Show: func() string { return format(int(*p)) }, Set: func(text string) bool {
		n, err := parse(text)
		if err != nil || n < low || n > high {
			return false
		}
		*p = N(n)
		return true
	}}
}

// OrZero is v, which is bound to p, or 0.
func OrZero[N number](p *N, v Value) Value {
	set := v.Set
	v.Accepts = "0, or " + v.Accepts
	v.Set = func(text string) bool {
		if text != "0" && text != "0s" {
			return set(text)
		}
		*p = 0
		return true
	}
	return v
}

// zeroIsOff has 0 stored as -1: what packages call off where their zero is the default.
func zeroIsOff[N number](p *N, v Value) Value {
	set, show := v.Set, v.Show
	v.Set = func(text string) bool {
		ok := set(text)
		if ok && *p == 0 {
			*p = -1
		}
		return ok
	}
	v.Show = func() string {
		if *p == -1 {
			return "0"
		}
		return show()
	}
	return v
}

// Int is a whole number.
func Int[N number](p *N, low, high int) Value {
	return ranged(p, "N", fmt.Sprintf("a whole number from %d to %d", low, high), low, high, strconv.Atoi, strconv.Itoa)
}

// IntOrOff is a whole number, 0 for off.
func IntOrOff[N number](p *N, high int) Value { return zeroIsOff(p, Int(p, 0, high)) }

// Size is a number of bytes; high may be math.MaxInt for no limit.
func Size[N number](p *N, low, high int) Value {
	bounds := fmt.Sprintf("from %s to %s", FormatSize(low), FormatSize(high))
	if high == math.MaxInt {
		bounds = "of at least " + FormatSize(low)
	}
	return ranged(p, "size", fmt.Sprintf("a size %s, in bytes or with a unit, such as 64KiB", bounds), low, high, ParseSize, FormatSize)
}

// SizeOrOff is a number of bytes, 0 for off.
func SizeOrOff[N number](p *N, high int) Value { return zeroIsOff(p, Size(p, 0, high)) }

// Duration is a time of at least low, and at most high unless that is 0.
func Duration(p *time.Duration, low, high time.Duration) Value {
	bounds, example := fmt.Sprintf("from %s to %s", FormatDuration(low), FormatDuration(high)), high/100
	if high == 0 {
		bounds, example, high = "of at least "+FormatDuration(low), *p, math.MaxInt64
	}
	parse := func(text string) (int, error) {
		d, err := time.ParseDuration(text)
		return int(d), err
	}
	return ranged(p, "duration", fmt.Sprintf("a duration %s, such as %s", bounds, FormatDuration(example)), int(low), int(high),
		parse, func(n int) string { return FormatDuration(time.Duration(n)) })
}

// Word is one of a few.
func Word(p *string, words ...string) Value {
	return Checked(p, strings.Join(words, "|"), "one of "+strings.Join(words, ", "), func(text string) bool { return slices.Contains(words, text) })
}

// Choice is one of a few words, which stand for their places among them.
func Choice[N ~uint8](p *N, words []string) Value {
	word := words[*p]
	v := Word(&word, words...)
	set := v.Set
	v.Set = func(text string) bool {
		ok := set(text)
		*p = N(slices.Index(words, word))
		return ok
	}
	return v
}

// Path is any bytes, as files' names are; unit says in a word what it stands for, such as "file".
func Path(p *string, unit string) Value {
	v := Text(p, unit)
	v.Bytes = true
	return v
}

// Text is any text.
func Text(p *string, unit string) Value {
	return Checked(p, unit, withArticle(unit), func(string) bool { return true })
}

// Name is a text that is absent or not empty: a name that a script's variable didn't hold mustn't pass for none.
func Name(p *string) Value {
	return Checked(p, "name", "a name", func(text string) bool { return text != "" })
}

func withArticle(noun string) string {
	if strings.ContainsRune("aeio", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// Checked is a text that check lets through.
func Checked(p *string, unit, accepts string, check func(text string) bool) Value {
	return Value{Unit: unit, Accepts: accepts, Show: func() string { return *p }, Set: func(text string) bool {
		if !check(text) {
			return false
		}
		*p = text
		return true
	}}
}

// Parsed is a text, at first empty, that set makes something of.
func Parsed(unit, accepts string, set func(text string) bool) Value {
	return Checked(new(string), unit, accepts, set)
}

// maxRepeats bounds how often a flag may be repeated.
const maxRepeats = 10_000

// Each is a flag that may be given several times: parse makes an item of each value.
func Each[T any](p *[]T, unit, accepts string, parse func(text string) (T, bool)) Value {
	return Value{Unit: unit, Accepts: accepts, Show: func() string { return "" }, Set: func(text string) bool {
		item, ok := parse(text)
		if !ok || len(*p) >= maxRepeats {
			return false
		}
		*p = append(*p, item)
		return true
	}}
}

// Texts is a text that may be given several times, but isn't empty.
func Texts(p *[]string, unit string) Value {
	return Each(p, unit, withArticle(unit), func(text string) (string, bool) { return text, text != "" })
}

// Bool is a switch.
func Bool(p *bool) Value {
	return Value{Accepts: "true or false", Show: func() string { return strconv.FormatBool(*p) }, Set: func(text string) bool {
		b, err := strconv.ParseBool(text)
		if err == nil {
			*p = b
		}
		return err == nil
	}}
}

// Address is a TCP address to listen on or to call.
func Address(p *string) Value {
	return Checked(p, "address", "an address such as :4322, 127.0.0.1:4322 or [::1]:4322", IsAddress)
}

// IsAddress is whether text is a host, which may be absent, and a port's number.
func IsAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsAny(host, " \t/@") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// Prefixes is a list of addresses and networks, separated by commas. Blank entries are left out.
func Prefixes(p *[]netip.Prefix) Value {
	return Value{
		Unit: "list", Accepts: "a list of addresses and networks such as 127.0.0.1,10.0.0.0/8,2001:db8::/32",
		Show: func() string { return FormatPrefixes(*p) },
		Set: func(text string) bool {
			var list []netip.Prefix
			for _, entry := range Entries(text) {
				prefix, ok := parsePrefix(entry)
				if !ok {
					return false
				}
				list = append(list, prefix)
			}
			*p = list
			return true
		},
	}
}

// FormatPrefixes is a list as people write it.
func FormatPrefixes(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
		if p.IsSingleIP() {
			texts[i] = p.Addr().String()
		}
	}
	return strings.Join(texts, ", ")
}

// parsePrefix reads a network or an address. 10.1.2.3/8 is a mistake: it could be meant as either, and one of the two
// would trust 16 million addresses too many.
func parsePrefix(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), err == nil && addr.Zone() == ""
	}
	prefix, err := netip.ParsePrefix(text)
	if err == nil && prefix.Addr().Is4In6() {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96) // not valid below 0
	}
	return prefix, err == nil && prefix.IsValid() && prefix == prefix.Masked()
}

// Entries are those of a list, without blank ones.
func Entries(text string) (list []string) {
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	return list
}

// URL is an http or https URL, or empty.
func URL(p *string) Value {
	v := Checked(p, "URL", "a URL such as https://app.example.com/check", func(text string) bool {
		u, err := url.Parse(text)
		return text == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
	})
	v.Mask = WithoutSecrets
	return v
}

// WithoutSecrets is what may be shown of a URL, or of what was meant to be one: user, password and query can be secret.
func WithoutSecrets(text string) string {
	if at := strings.LastIndex(text, "@"); at >= 0 {
		scheme, secret, found := strings.Cut(text[:at], "//")
		if found {
			scheme += "//"
		} else {
			scheme, secret = "", text[:at]
		}
		if strings.Contains(secret, "?") { // a password's, or the query has the @: what is behind that may be secret too
			return scheme + "…"
		}
		text = scheme + "…" + text[at:]
	}
	text, query, _ := strings.Cut(text, "?")
	if query != "" {
		text += "?…"
	}
	return text
}

// Sizes in bytes. Powers of 1024 end in iB, powers of 1000 in B, as IEC 80000-13 has it.
const (
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30
)

// sizeUnits are the suffixes of a size, longest first so that "KiB" isn't taken for "B". People write them in either case.
var sizeUnits = []struct {
	suffix string
	bytes  uint64
}{
	{"kib", KiB}, {"mib", MiB}, {"gib", GiB}, {"tib", 1 << 40}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"b", 1},
}

// ParseSize reads "65536", "64KiB" or "64KB" as a number of bytes, and nothing else: no sign, no fraction, no unit
// without its B, and no more bytes than an int holds.
func ParseSize(text string) (bytes int, err error) {
	digits, unit := strings.ToLower(text), uint64(1)
	for _, u := range sizeUnits {
		if rest, found := strings.CutSuffix(digits, u.suffix); found {
			digits, unit = strings.TrimRight(rest, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err == nil && n > math.MaxInt/unit {
		err = strconv.ErrRange
	}
	return int(n * unit), err
}

// FormatSize is the shortest text without a fraction that ParseSize reads as bytes.
func FormatSize(bytes int) string {
	switch {
	case bytes == 0:
		return "0"
	case bytes%GiB == 0:
		return strconv.Itoa(bytes/GiB) + "GiB"
	case bytes%MiB == 0:
		return strconv.Itoa(bytes/MiB) + "MiB"
	case bytes%KiB == 0:
		return strconv.Itoa(bytes/KiB) + "KiB"
	}
	return strconv.Itoa(bytes)
}

// FormatDuration is d.String without the zero minutes and seconds of "24h0m0s".
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
