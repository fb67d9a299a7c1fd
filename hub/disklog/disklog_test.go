package disklog

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/dedup"
	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/logtest"
)

func TestMain(m *testing.M) { leaks.Main(m, leaks.IdleWorkers) }

func open(t *testing.T, path string, o Options) *Log {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// kind is the log with so many bytes in memory.
func kind(tail int) logtest.Kind {
	return logtest.Kind{Ages: true, Open: func(t *testing.T, o logtest.Options) logtest.Opened {
		path := filepath.Join(t.TempDir(), "changes.db")
		with := func(o logtest.Options) *Log {
			return open(t, path, Options{MaxEvents: o.MaxEvents, MaxAge: o.MaxAge, TailBytes: tail})
		}
		l := with(o)
		return logtest.Opened{Log: l, Reopen: func(o logtest.Options) hub.ChangeLog {
			if err := l.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
			l = with(o)
			return l
		}}
	}}
}

func TestConformance(t *testing.T) { logtest.Run(t, kind(0)) }

// Nearly all is read from the file.
func TestConformanceWithAShortTail(t *testing.T) { logtest.Run(t, kind(1000)) }

// What clients need who come back after a restart is in memory, with what has come in since; what isn't is read from
// the file, to the same entries.
func TestTheNewestEntriesAreInMemoryAfterAStart(t *testing.T) {
	for name, test := range map[string]struct{ tail, least, most int }{
		"all": {0, 1050, 1050}, "as many as there is room for": {20_000, 20, 150}, "none": {1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "changes.db")
			l := open(t, path, Options{})
			logtest.Append(t, l, logtest.Changes(1000)...)
			l.Close()
			l = open(t, path, Options{TailBytes: test.tail})
			for range 5 { // while it is read
				logtest.Append(t, l, logtest.Changes(10)...)
			}
			l.preloading.Wait()
			inMemory := l.tail.Bounds()
			p, ok := l.tail.Read(inMemory.Before, 2000)
			if n := len(p.Entries); !ok || n < test.least || n > test.most || p.Last != l.Bounds().Last {
				t.Errorf("%d entries, %+v of %+v, are in memory", n, inMemory, l.Bounds())
			}
			all := logtest.All(t, l, 0, 100)
			if len(all) != 1050 {
				t.Errorf("%d entries", len(all))
			}
			for i, e := range p.Entries {
				if want := all[len(all)-len(p.Entries)+i]; e.Seq != want.Seq || e.Prev != want.Prev || string(e.JSON) != string(want.JSON) {
					t.Fatalf("%d %s is in memory, want %d %s", e.Seq, e.JSON, want.Seq, want.JSON)
				}
			}
		})
	}
}

// docs/protocol.md section 5: an op id that was forgotten, and comes again a day later, is remembered across restarts.
func TestOpIDThatComesAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	append := func() hub.Appended {
		t.Helper()
		l := open(t, path, Options{})
		defer l.Close()
		c := someChange
		c.OpID = "nightly"
		return logtest.Append(t, l, c)[0]
	}
	first := append()
	execute(t, beside(t, path), fmt.Sprintf("UPDATE op_ids SET at = at - %d", dedup.Age.Milliseconds()))
	second := append()
	if third := append(); second.Seq <= first.Seq || !third.Repeated || third.Seq != second.Seq {
		t.Errorf("got %+v, %+v, %+v", first, second, third)
	}
}

// An audience that can't be read in one way, or names nobody, is damage: it doesn't become everyone.
func TestAudienceThatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{})
	c := someChange
	c.Audience.Users = []string{"alice"}
	logtest.Append(t, l, c)
	l.Close()
	for text, want := range map[string]bool{
		`{"users":["alice"]}`:              true,
		`{"users":["alice"],"USERS":null}`: false, `{"users":["alice"],"users":[]}`: false, `{"Users":["alice"]}`: false,
		`{"users":["alice"]} {}`: false, `{"users":null}`: false, `{}`: false, `null`: false, ``: false,
	} {
		db := beside(t, path)
		execute(t, db, "UPDATE changes SET audience = '"+text+"'")
		db.Close()
		l := open(t, path, Options{TailBytes: 1})
		entries, err := l.read(t.Context(), 0, l.Bounds().Last, 10)
		if taken := err == nil && len(entries) == 1; taken != want {
			t.Errorf("%s: %d entries, %v", text, len(entries), err)
		}
		if err := l.Export(func(*hub.Change, time.Time) error { return nil }); (err == nil) != want {
			t.Errorf("%s: exported, %v", text, err)
		}
		l.Close()
	}
}

// Nodes may have applied an op id again that they had forgotten. The first is what a repeat is answered with, and alone is
// one that the log can be moved with again.
func TestImportOfAnOpIDTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	each := func(f func(*hub.Change, time.Time) error) error {
		for seq, ago := range []time.Duration{dedup.Age + time.Hour, 30 * time.Minute, 10 * time.Minute, 0} {
			c := someChange
			c.Seq, c.OpID = uint64(seq+5), "again"
			if err := f(&c, time.Now().Add(-ago)); err != nil {
				return err
			}
		}
		return nil
	}
	none := func(func(*hub.StoredRow) error) error { return nil }
	if err := Import(path, hub.Bounds{Oldest: 5, Last: 8, Before: 4}, each, none); err != nil {
		t.Fatal(err)
	}
	l := open(t, path, Options{})
	var got []string
	if err := l.Export(func(c *hub.Change, _ time.Time) error { got = append(got, c.OpID); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"", "again", "", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	c := someChange
	c.OpID = "again"
	if a := logtest.Append(t, l, c)[0]; !a.Repeated || a.Seq != 6 {
		t.Errorf("got %+v", a)
	}
}
