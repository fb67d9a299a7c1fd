package main

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The methods below declare one flag each. They set *p to the default at once, and
// the table writes to *p when it parses.

// Int declares a whole number from low to high.
func (t *flagTable) Int(p *int, name string, initial, low, high int, meaning string) *setting {
	*p = initial
	return number(t, p, name, low, high, meaning)
}

// number is Int where the default is what *p holds, which may be a whole float64.
func number[N int | float64](t *flagTable, p *N, name string, low, high int, meaning string) *setting {
	return t.add(&setting{
		name: name, unit: "N", initial: strconv.Itoa(int(*p)), meaning: meaning,
		accepts: fmt.Sprintf("a whole number from %d to %d", low, high),
		store: func(text string) bool {
			n, err := strconv.Atoi(text)
			return err == nil && store(p, N(n), n >= low && n <= high)
		},
	})
}

// limit is number from 0, which means that there is no limit.
func limit[N int | float64](t *flagTable, p *N, name string, high int, meaning string) *setting {
	return zeroIsOff(p, number(t, p, name, 0, high, meaning))
}

// zeroIsOff has s store -1 for 0: what the packages call off where their zero is the default.
func zeroIsOff[N int | float64](p *N, s *setting) *setting {
	stored := s.store
	s.store = func(text string) bool {
		ok := stored(text)
		if ok && *p == 0 {
			*p = -1
		}
		return ok
	}
	return s
}

// Duration declares a duration of at least low.
func (t *flagTable) Duration(p *time.Duration, name string, initial, low time.Duration, meaning string) *setting {
	*p = initial
	return t.add(&setting{
		name: name, unit: "duration", initial: formatDuration(initial), meaning: meaning,
		accepts: fmt.Sprintf("a duration of at least %s, such as %s", formatDuration(low), formatDuration(initial)),
		store: func(text string) bool {
			d, err := time.ParseDuration(text)
			return err == nil && store(p, d, d >= low)
		},
	})
}

// DurationUpTo declares a duration from 0 to high, by default 0.
func (t *flagTable) DurationUpTo(p *time.Duration, name string, high time.Duration, meaning string) *setting {
	s := t.Duration(p, name, 0, 0, meaning)
	s.accepts = fmt.Sprintf("a duration from 0s to %s, such as %s", formatDuration(high), formatDuration(high/100))
	s.store = func(text string) bool {
		d, err := time.ParseDuration(text)
		return err == nil && store(p, d, d >= 0 && d <= high)
	}
	return s
}

// atLeast has a setting refuse what is less than low but not zero.
func atLeast[N int | time.Duration](s *setting, p *N, low N, accepts string) {
	inner := s.store
	s.accepts = accepts
	s.store = func(text string) bool { return inner(text) && (*p == 0 || *p >= low) }
}

// Size declares a number of bytes from low to high; high may be math.MaxInt for no limit.
func (t *flagTable) Size(p *int, name string, initial, low, high int, meaning string) *setting {
	*p = initial
	return size(t, p, name, low, high, meaning)
}

// size is Size where the default is what *p holds, which may be a whole float64.
func size[N int | float64](t *flagTable, p *N, name string, low, high int, meaning string) *setting {
	bounds := fmt.Sprintf("from %s to %s", formatSize(low), formatSize(high))
	if high == math.MaxInt {
		bounds = "of at least " + formatSize(low)
	}
	return t.add(&setting{
		name: name, unit: "size", initial: formatSize(int(*p)), meaning: meaning,
		accepts: fmt.Sprintf("a size %s, in bytes or with a unit, such as 64KiB", bounds),
		store: func(text string) bool {
			n, ok := parseSize(text)
			return ok && store(p, N(n), n >= low && n <= high)
		},
	})
}

// Choice declares one of a few words.
func (t *flagTable) Choice(p *string, name, initial string, words []string, meaning string) *setting {
	*p = initial
	return t.add(&setting{
		name: name, unit: strings.Join(words, "|"), initial: initial, meaning: meaning,
		accepts: "one of " + strings.Join(words, ", "),
		store:   func(text string) bool { return store(p, text, slices.Contains(words, text)) },
	})
}

// choice declares one of a few words, which stand for their places among them. The default is what *p holds.
func choice[N ~uint8](t *flagTable, p *N, name string, words []string, meaning string) *setting {
	var word string
	s := t.Choice(&word, name, words[*p], words, meaning)
	s.store = func(text string) bool {
		place := slices.Index(words, text)
		return store(p, N(max(place, 0)), place >= 0)
	}
	return s
}

// Text declares any text; unit says in a word what it stands for, such as "file".
func (t *flagTable) Text(p *string, name, initial, unit, meaning string) *setting {
	*p = initial
	return t.add(&setting{
		name: name, unit: unit, initial: initial, meaning: meaning, accepts: "a " + unit,
		store: func(text string) bool { return store(p, text, true) },
	})
}

// Name declares a text that is absent or not empty: a name that a script's variable didn't
// hold mustn't pass for none.
func (t *flagTable) Name(p *string, name, meaning string) *setting {
	s := t.Text(p, name, "", "name", meaning)
	s.accepts = "a name"
	s.store = func(text string) bool { return store(p, text, text != "") }
	return s
}

// Bool declares a switch that is off unless it is given.
func (t *flagTable) Bool(p *bool, name, meaning string) *setting {
	return t.add(&setting{
		name: name, initial: "false", meaning: meaning, accepts: "true or false",
		store: func(text string) bool {
			b, ok := parseBool(text)
			return ok && store(p, b, true)
		},
	})
}

// Address declares a TCP address to listen on or to call.
func (t *flagTable) Address(p *string, name, initial, meaning string) *setting {
	*p = initial
	return t.add(&setting{
		name: name, unit: "address", initial: initial, meaning: meaning,
		accepts: "an address such as :4322, 127.0.0.1:4322 or [::1]:4322",
		store:   func(text string) bool { return store(p, text, isAddress(text)) },
	})
}

// URL declares an http or https URL; empty by default.
func (t *flagTable) URL(p *string, name, meaning string) *setting {
	return t.add(&setting{
		name: name, unit: "URL", meaning: meaning,
		accepts: "a URL such as https://app.example.com/check",
		shown:   withoutSecrets,
		store:   func(text string) bool { return store(p, text, text == "" || isHTTPURL(text)) },
	})
}

// store puts value into *p when ok, and returns ok.
func store[T any](p *T, value T, ok bool) bool {
	if ok {
		*p = value
	}
	return ok
}

func parseBool(text string) (value, ok bool) {
	value, err := strconv.ParseBool(text)
	return value, err == nil
}

func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsAny(host, " \t/@") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// withoutSecrets is what may be shown of a URL, or of what was meant to be one: user, password
// and query can be secret.
func withoutSecrets(text string) string {
	text, query, asked := strings.Cut(text, "?")
	if at := strings.LastIndex(text, "@"); at >= 0 {
		scheme, _, found := strings.Cut(text[:at], "//")
		if !found {
			scheme = ""
		} else {
			scheme += "//"
		}
		text = scheme + "…" + text[at:]
	}
	if asked && query != "" {
		text += "?…"
	}
	return text
}

func isHTTPURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}
