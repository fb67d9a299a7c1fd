package disklog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// loaded are the rows of a log, the one that was written last at the end.
func loaded(t *testing.T, r hub.RowStore) (rows []string) {
	t.Helper()
	err := r.Load(func(s *hub.StoredRow) error {
		rows = append(rows, fmt.Sprintf("%s %s %s %.20q", s.Tenant, s.Entity, s.RowID, s.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func put(t *testing.T, r hub.RowStore, tenant, entity, row, payload string) {
	t.Helper()
	if err := r.Put(&hub.StoredRow{Tenant: tenant, Entity: entity, RowID: row, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
}

// Rows come back as they were put last, in the order in which that was, without what was forgotten.
func TestRowsOutliveTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	l := open(t, path, Options{})
	put(t, l.Rows(), "", "Doc", "1", "old")
	put(t, l.Rows(), "acme", "Doc", "2", "")
	put(t, l.Rows(), "", "D\x00c", "ü\"'", "\x00\xff")
	put(t, l.Rows(), "acme", "Doc", "1", "new")
	put(t, l.Rows(), "", "Doc", "3", string(make([]byte, 16<<20)))
	l.Rows().Forget("Doc", "2")
	put(t, l.Rows(), "", "Doc", "4", "x") // with which the other goes
	want := fmt.Sprint([]string{` D` + "\x00" + `c ü"' "\x00\xff"`, `acme Doc 1 "new"`, fmt.Sprintf(" Doc 3 %.20q", make([]byte, 20)), ` Doc 4 "x"`})
	for range 2 {
		if got := fmt.Sprint(loaded(t, l.Rows())); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, path, Options{})
	}
}

// What the follower lets go of is deleted, unless it is put again behind that, whatever shared a
// transaction with it: the file and the follower have the same rows in the end.
func TestRowsThatAreForgottenWhileOthersArePut(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "changes.db"), Options{})
	kept := map[string]string{} // the follower's: three rows at most
	var order []string
	l.Rows().Follow(func(s *hub.StoredRow) {
		for i, row := range order {
			if row == s.RowID {
				order = append(order[:i:i], order[i+1:]...)
				break
			}
		}
		order = append(order, s.RowID)
		kept[s.RowID] = string(s.Payload)
		if len(order) > 3 {
			delete(kept, order[0])
			l.Rows().Forget("E", order[0])
			order = order[1:]
		}
	}, nil, nil)
	var all sync.WaitGroup
	for p := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(p), 9))
			for i := range 60 {
				if err := l.Rows().Put(&hub.StoredRow{Entity: "E", RowID: fmt.Sprint(random.IntN(6)), Payload: fmt.Append(nil, p, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	put(t, l.Rows(), "", "E", "last", "x")
	put(t, l.Rows(), "", "E", "last", "y") // with which goes what the one before it pushed out
	got := map[string]string{}
	if err := l.Rows().Load(func(s *hub.StoredRow) error { got[s.RowID] = string(s.Payload); return nil }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(kept) {
		t.Errorf("stored %v, the follower has %v", got, kept)
	}
}

// docs/protocol.md section 5: a row that was published is there after a restart, for those who may read it; what
// there is no room for in memory is forgotten on the disk, too.
func TestRowsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "changes.db")
	snapshot := func(row, payload string) string {
		b, err := hub.AppendRowFrame(nil, hub.Snapshot, "Doc", row, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for life, want := range []map[string]string{{}, {"2": "two", "3": "three"}, {"2": "again", "3": "three"}} {
		l := open(t, path, Options{})
		h, err := hub.New(hub.Options{
			Loops: eventloop.Options{Listen: "127.0.0.1:0", Loops: 1}, Log: l, Rows: hub.RowOptions{Max: 2, Store: l.Rows()},
			Auth: hub.AuthenticatorFunc(func(_ context.Context, token string) (*hub.Identity, error) {
				return &hub.Identity{UserID: token}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		c := wstest.Connect(t, "ws://"+h.Addr().String(), "alice")
		for row, payload := range want {
			c.Send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"` + row + `"}`)
			if _, got := c.Next(); string(got) != snapshot(row, payload) {
				t.Errorf("life %d: got %q", life, got)
			}
		}
		if n := h.Stats().StoredRows; n != len(want) {
			t.Errorf("life %d: %d rows are stored", life, n)
		}
		rows := map[int][]string{0: {"1", "one", "2", "two", "3", "three"}, 1: {"2", "again"}}[life]
		for i := 0; i < len(rows); i += 2 {
			if err := h.PublishRow(hub.Snapshot, "", "Doc", rows[i], []byte(rows[i+1])); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Conn.CloseNow()
		if err := h.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
