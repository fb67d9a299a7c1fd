package auth

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

var epoch0 = moment{wall: time.Unix(1_800_000_000, 0)}

func TestCacheAnswers(t *testing.T) {
	c := newCache(0)
	id := &hub.Identity{UserID: "u", Expires: epoch0.wall.Add(time.Minute)}
	c.put("good", id, 0, epoch0)
	c.put("short", &hub.Identity{UserID: "s"}, time.Second, epoch0)
	c.put("never", &hub.Identity{UserID: "n", Expires: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, 0, epoch0)
	c.putBad("bad", hub.ErrUnauthorized, epoch0)
	for _, k := range []struct {
		token string
		after time.Duration
		user  string // "-" = known to be bad, "" = not known
	}{
		{"good", 0, "u"}, {"good", time.Minute - 1, "u"}, {"good", time.Minute, ""},
		{"short", time.Second - 1, "s"}, {"short", time.Second, ""},
		{"never", 1e6 * time.Hour, "n"},
		{"bad", time.Second - 1, "-"}, {"bad", time.Second, ""},
		{"other", 0, ""},
	} {
		got := ""
		if id, ok := c.get(k.token, epoch0.Add(k.after)); ok {
			got = id.UserID
		} else if c.why(k.token, epoch0.Add(k.after)) != nil {
			got = "-"
		}
		if got != k.user {
			t.Errorf("%s after %v: %q, want %q", k.token, k.after, got, k.user)
		}
	}
}

// A wall clock that is set back prolongs nothing that is remembered, and one that is set
// forward brings nothing back.
func TestCacheWhenTheClockIsSet(t *testing.T) {
	for _, set := range []time.Duration{-24 * time.Hour, -time.Second, 0, time.Hour} {
		c := newCache(0)
		c.put("session", &hub.Identity{UserID: "u", Expires: epoch0.wall.Add(time.Minute)}, 0, epoch0)
		c.put("answer", &hub.Identity{UserID: "u"}, time.Minute, epoch0)
		c.putBad("bad", hub.ErrUnauthorized, epoch0)
		at := func(passed time.Duration) moment { return moment{epoch0.wall.Add(passed + set), passed} }
		for _, token := range []string{"session", "answer"} {
			_, before := c.get(token, at(time.Minute-1))
			if _, after := c.get(token, at(time.Minute)); !before || after {
				t.Errorf("set by %v: %s is known: %t, and after its time %t", set, token, before, after)
			}
		}
		if c.why("bad", at(badTTL-1)) == nil || c.why("bad", at(badTTL)) != nil {
			t.Errorf("set by %v: a bad token isn't remembered for its time", set)
		}
	}
}

func TestCacheKeepsThePointer(t *testing.T) {
	c := newCache(0)
	first := c.put("tok", &hub.Identity{UserID: "u"}, time.Second, epoch0)
	later := epoch0.Add(time.Hour)
	if again := c.put("tok", &hub.Identity{UserID: "u"}, time.Second, later); again != first {
		t.Error("the same answer got another pointer")
	}
	if other := c.put("tok", &hub.Identity{UserID: "u", Admin: true}, time.Second, later); other == first || !other.Admin {
		t.Error("another answer got the old pointer")
	}
}

func TestGoodTokenIsNotBadAnyMore(t *testing.T) {
	c := newCache(0)
	c.putBad("tok", hub.ErrUnauthorized, epoch0)
	c.put("tok", &hub.Identity{UserID: "u"}, 0, epoch0)
	c.drop("tok")
	if _, ok := c.get("tok", epoch0); ok {
		t.Error("dropped and still answered")
	}
}

func TestCacheIsBounded(t *testing.T) {
	for _, limit := range []int{1, 10, 5000} {
		c := newCache(limit)
		for i := range 3 * limit {
			c.put(fmt.Sprint("tok", i), &hub.Identity{UserID: "u"}, 0, epoch0)
		}
		if n := c.len(); n > limit || n < limit*9/10 {
			t.Errorf("%d entries with a limit of %d", n, limit)
		}
	}
}

func TestBadTokensPushNothingOut(t *testing.T) {
	c := newCache(100)
	c.put("good", &hub.Identity{UserID: "u"}, 0, epoch0)
	for i := range 3 * badEntries {
		c.putBad(fmt.Sprint("bad", i), hub.ErrUnauthorized, epoch0)
	}
	if _, ok := c.get("good", epoch0); !ok {
		t.Error("a good token was pushed out")
	}
	n := 0
	for i := range c.bad {
		n += c.bad[i].len()
	}
	if n > badEntries {
		t.Errorf("%d bad tokens are remembered", n)
	}
}

func TestShardIsBoundedInBytes(t *testing.T) {
	var s shard
	s.init(1000, 10_000)
	long := strings.Repeat("x", 1000)
	for i := range 100 {
		s.put(fmt.Sprint(long, i), nil, 0, epoch0)
	}
	if n := s.len(); n == 0 || n > 10 {
		t.Errorf("%d entries of 1,000 bytes in 10,000", n)
	}
	s.put(strings.Repeat("y", 20_000), nil, 0, epoch0)
	if s.len() == 0 {
		t.Error("a token that can't fit pushed others out")
	}
	for i := range 100 {
		s.drop(fmt.Sprint(long, i))
	}
	if s.bytes != 0 || s.len() != 0 {
		t.Errorf("%d bytes, %d entries left", s.bytes, s.len())
	}
}

// An eviction takes what expired, or what has not been used for long.
func TestEviction(t *testing.T) {
	var s shard
	s.init(evictSample, 1<<20)
	used := &hub.Identity{UserID: "used"}
	s.put("used", used, 0, epoch0)
	for i := range evictSample - 1 {
		s.put(fmt.Sprint("idle", i), nil, 0, epoch0)
	}
	now := epoch0.Add(time.Minute)
	for i := range evictSample - 1 {
		s.get("used", now)
		s.put(fmt.Sprint("new", i), nil, 0, now)
		if _, ok := s.get("used", now); !ok {
			t.Fatalf("eviction %d took the entry that is in use", i)
		}
	}
	if _, ok := s.get("idle0", now); ok {
		t.Error("an idle entry outlived its turn")
	}
}

func BenchmarkCacheGet(b *testing.B) {
	c := newCache(0)
	tokens := make([]string, 100_000)
	now := thisMoment()
	for i := range tokens {
		tokens[i] = newToken()
		c.put(tokens[i], &hub.Identity{UserID: "u"}, 0, now)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, ok := c.get(tokens[i%len(tokens)], now); !ok {
				b.Error("lost")
			}
		}
	})
}

// A session that is prolonged again and again costs what its connections have, and no more.
func TestCacheForgetsWhatNobodyHas(t *testing.T) {
	c := newCache(0)
	held := c.put("tok", &hub.Identity{UserID: "u", Expires: epoch0.wall.Add(time.Second)}, 0, epoch0)
	for i := range 100 {
		runtime.GC()
		c.put("tok", &hub.Identity{UserID: "u", Expires: epoch0.wall.Add(time.Hour + time.Duration(i))}, 0, epoch0)
	}
	ids := c.drop("tok")
	if !slices.Contains(ids, held) {
		t.Error("an identity that is held isn't told of")
	}
	if len(ids) > 5 {
		t.Errorf("%d identities are kept", len(ids))
	}
	runtime.KeepAlive(held)
}

// Of what a session cache evicts it knows what somebody has, and nothing else for long.
func TestSessionCacheKnowsWhatIsHeld(t *testing.T) {
	const entries, many = 10, 1000
	c := newSessionCache(entries)
	held := c.put("held", &hub.Identity{UserID: "alice"}, 0, epoch0)
	for i := range many {
		c.put(fmt.Sprint("tok", i), &hub.Identity{UserID: "guest"}, 0, epoch0)
		if i%50 == 0 {
			runtime.GC()
		}
	}
	if _, ok := c.get("held", epoch0); ok {
		t.Fatal("it wasn't evicted: the test shows nothing")
	}
	told := false
	c.chunks(100, func(list []known) bool {
		told = told || slices.Contains(list, known{"held", held})
		return true
	})
	if !told {
		t.Error("it is missing among those that are compared with the table")
	}
	if n := len(c.good[0].outside); n > 2*leastSweep {
		t.Errorf("%d tokens are known that nobody has", n)
	}
	if id := c.put("held", &hub.Identity{UserID: "alice"}, 0, epoch0); id != held {
		t.Error("the same session got another pointer when it came back")
	}
	later := c.put("held", &hub.Identity{UserID: "alice", Expires: epoch0.wall.Add(time.Hour)}, 0, epoch0)
	for i := range many {
		c.put(fmt.Sprint("tok", i), &hub.Identity{UserID: "guest"}, 0, epoch0)
	}
	if ids := c.drop("held"); !slices.Equal(ids, []*hub.Identity{later, held}) {
		t.Errorf("%d identities were told of", len(ids))
	}
	if ids := c.drop("held"); ids != nil {
		t.Error("and again")
	}
	runtime.KeepAlive(later)
}
