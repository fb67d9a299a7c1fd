package hub

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// Other parameters don't take the cursor away; a query that is malformed, or has two, is refused.
func TestSinceInOddQueries(t *testing.T) {
	for query, want := range map[string]uint64{
		"since=5": 5, "since=5&": 5, "x=&since=5": 5, "token=a.b&since=5&SINCE=6": 5, "%73ince=%37": 7, "s%69nce=%37": 7, "%73%69%6E%63%6e=1&since=8": 8, "since=0007": 7, "since=18446744073709551615": 1<<64 - 1,
	} {
		if since, given, err := sinceOf(query); since != want || !given || err != nil {
			t.Errorf("%q: %d, %v, %v", query, since, given, err)
		}
	}
	for _, query := range []string{"since=%zz", "since=7;a=b", "since=2999;limit=1", "since=2999%", "x=%&since=5", "a;b&since=5", "a;since=7", "%since=7", "s%69nce=1&since=2", "s%6=1", "s%6", "%",
		"since=5&since=6", "since=5&since=5", "since=", "since", "since=-1", "since=+1", "since=%2B1", "since=1.0", "since=1e3", "since= 1", "since=1_0",
		"since=1%00", "since=18446744073709551616"} {
		if since, given, err := sinceOf(query); given || err == nil {
			t.Errorf("%q is taken for %d, %v", query, since, given)
		}
	}
	for _, query := range []string{"", "&", "SINCE=7", "s%49nce=7", "sinc", "since%20=7", "+since=7", "xsince=7", "a=since=7", "sinse=7"} {
		if since, given, err := sinceOf(query); given || err != nil {
			t.Errorf("%q has cursor %d, %v", query, since, err)
		}
	}
}

// A cursor is taken for what net/url says that the query has, or refused.
func FuzzSince(f *testing.F) {
	for _, query := range []string{"", "since=0", "since=18446744073709551615", "since=18446744073709551616", "since=-1", "since=+1", "since=",
		"a=b&since=7&since=8", "SINCE=7", "since=7;a=b", "%73ince=%37", "s%69nce=7", "since=%zz", "since=1%00", "&&&", "since", "x=%&since=7", "%since=7"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.Count(query, "&") >= 10_000 {
			return // more than net/url reads
		}
		values, malformed := url.ParseQuery(query)
		cursors := values["since"]
		var want uint64
		refused := malformed != nil || len(cursors) > 1
		if !refused && len(cursors) == 1 {
			var err error
			want, err = strconv.ParseUint(cursors[0], 10, 64)
			refused = err != nil
		}
		since, given, err := sinceOf(query)
		switch {
		case refused != (err != nil):
			t.Fatalf("%q: %v, net/url: %v, %q", query, err, malformed, cursors)
		case refused:
			want, cursors = 0, nil
		}
		if since != want || given != (len(cursors) > 0) {
			t.Fatalf("%q: %d, %v, want %d of %q", query, since, given, want, cursors)
		}
	})
}

// Whoever sends a long query costs the loop no memory.
func TestSinceAllocatesNothing(t *testing.T) {
	for _, query := range longQueries() {
		if n := testing.AllocsPerRun(10, func() { _, _, _ = sinceOf(query) }); n > 0 {
			t.Errorf("%.20q…: %v allocations", query, n)
		}
	}
}

// longQueries are as long as a request may be: parameters that all differ, and ones that are escapes.
func longQueries() map[string]string {
	var differing strings.Builder
	for i := 36; differing.Len() < 8000; i++ {
		differing.WriteString(strconv.FormatInt(int64(i), 36) + "&")
	}
	return map[string]string{"differing": differing.String() + "since=7", "escaped": strings.Repeat("s%69nc%66&", 800) + "since=7"}
}

func BenchmarkSince(b *testing.B) {
	for name, query := range longQueries() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = sinceOf(query)
			}
		})
	}
}
