package rowstore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func nobody(_, _ string) {}

func TestStore(t *testing.T) {
	s := New(10, 1<<20, nobody)
	first := s.Put(0, "acme", "Todo", "1", []byte("one"))
	second := s.Put(0, "acme", "Todo", "1", []byte("two"))
	if second <= first {
		t.Errorf("versions %d, %d don't rise", first, second)
	}
	payload, version, ok := s.get("acme", "Todo", "1")
	if !ok || string(payload) != "two" || version != second {
		t.Errorf("got %q, %d, %v", payload, version, ok)
	}
	if _, _, ok := s.get("other", "Todo", "1"); ok {
		t.Error("another tenant's row was found")
	}
	if got := s.Stats(); got.Rows != 1 || got.Evicted != 0 {
		t.Errorf("replacing a row left %+v", got)
	}
	for _, tenant := range []string{"other", ""} { // it moves
		s.Put(0, tenant, "Todo", "1", []byte("three"))
		for _, reader := range []string{"acme", "other", ""} {
			_, _, ok := s.get(reader, "Todo", "1")
			if want := tenant == "" || reader == tenant; ok != want {
				t.Errorf("a row of %q can be read by %q: %v", tenant, reader, ok)
			}
		}
	}
}

// Whatever a name contains, two rows are never one.
func TestStoreKeysDontCollide(t *testing.T) {
	names := [][2]string{{"a|b", "c"}, {"a", "b|c"}, {"a\x00b", ""}, {"a", "\x00b"}, {"", "ab"}, {"ab", ""}, {"a/b", "c"}, {"a", "b/c"}}
	s := New(100, 1<<20, nobody)
	for i, n := range names {
		s.Put(0, "", n[0], n[1], []byte{byte(i)})
	}
	for i, n := range names {
		if payload, _, ok := s.get("", n[0], n[1]); !ok || !bytes.Equal(payload, []byte{byte(i)}) {
			t.Errorf("%q: got %v, %v, want %d", n, payload, ok, i)
		}
	}
}

func TestStoreEvictsWhatWasNotUsedForLongest(t *testing.T) {
	s := New(3, 1<<20, nobody)
	for _, row := range []string{"1", "2", "3"} {
		s.Put(0, "", "Todo", row, nil)
	}
	s.get("", "Todo", "1")
	s.Put(0, "", "Todo", "2", nil)
	last := s.Put(0, "", "Todo", "4", nil) // 3 goes: 1 was read, 2 written
	for row, want := range map[string]bool{"1": true, "2": true, "3": false, "4": true} {
		if _, _, ok := s.get("", "Todo", row); ok != want {
			t.Errorf("row %s: kept is %v", row, ok)
		}
	}
	if got := s.Stats(); got.Rows != 3 || got.Evicted != 1 {
		t.Errorf("got %+v", got)
	}
	if again := s.Put(0, "", "Todo", "3", nil); again <= last {
		t.Errorf("an evicted row came back with version %d after %d", again, last)
	}
}

func TestStoreTooLarge(t *testing.T) {
	s := New(10, 1000, nobody)
	s.Put(0, "", "Todo", "small", make([]byte, 10))
	s.Put(0, "", "Todo", "grows", make([]byte, 10))
	if version := s.Put(0, "", "Todo", "grows", make([]byte, 1000)); version != 3 {
		t.Errorf("version %d", version)
	}
	if _, _, ok := s.get("", "Todo", "grows"); ok {
		t.Error("an outdated snapshot was kept")
	}
	if _, _, ok := s.get("", "Todo", "small"); !ok {
		t.Error("a row made way for one that can't be kept")
	}
	if got := s.Stats(); got.Rows != 1 || got.Evicted != 1 {
		t.Errorf("got %+v", got)
	}
	s.Put(0, "", "Todo", "spare", make([]byte, 10, 1000))
	if _, _, ok := s.get("", "Todo", "spare"); ok {
		t.Error("a payload's unused capacity wasn't counted")
	}
	none := New(0, 1000, nobody)
	none.Put(0, "", "Todo", "1", nil)
	if got := none.Stats(); got.Rows != 0 || got.Bytes != 0 {
		t.Errorf("a store of no rows keeps %+v", got)
	}
}

// Random reads and writes against a slice in order of use.
func TestStoreRandomly(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 3))
		maxRows, maxBytes := 1+random.IntN(10), int64(500+random.IntN(4000))
		s := New(maxRows, maxBytes, nobody)
		model := rowModel{maxRows: maxRows, maxBytes: maxBytes}
		for step := range 2000 {
			row := fmt.Sprint(random.IntN(15))
			if random.IntN(2) == 0 {
				payload := make([]byte, random.IntN(800))
				s.Put(0, "", "", row, payload)
				model.put(row, payload)
			}
			payload, _, ok := s.get("", "", row)
			want, wantOK := model.get(row)
			if ok != wantOK || len(payload) != len(want) {
				t.Fatalf("seed %d, step %d: row %s has %d bytes, %v; want %d, %v", seed, step, row, len(payload), ok, len(want), wantOK)
			}
			if got := s.Stats(); got.Rows != len(model.rows) || got.Bytes != model.bytes() || got.Bytes > maxBytes {
				t.Fatalf("seed %d, step %d: %+v, want %d rows, %d bytes", seed, step, got, len(model.rows), model.bytes())
			}
		}
	}
}

type rowModel struct {
	maxRows  int
	maxBytes int64
	rows     []modelRow // the last used one first
}

type modelRow struct {
	row     string
	payload []byte
}

func (m *rowModel) put(row string, payload []byte) {
	m.rows = slices.DeleteFunc(m.rows, func(r modelRow) bool { return r.row == row })
	if int64(overhead+len(row)+cap(payload)) > m.maxBytes {
		return
	}
	m.rows = slices.Insert(m.rows, 0, modelRow{row, payload})
	for len(m.rows) > m.maxRows || m.bytes() > m.maxBytes {
		m.rows = m.rows[:len(m.rows)-1]
	}
}

func (m *rowModel) get(row string) ([]byte, bool) {
	i := slices.IndexFunc(m.rows, func(r modelRow) bool { return r.row == row })
	if i < 0 {
		return nil, false
	}
	found := m.rows[i]
	m.rows = slices.Insert(slices.Delete(m.rows, i, i+1), 0, found)
	return found.payload, true
}

func (m *rowModel) bytes() (sum int64) {
	for _, r := range m.rows {
		sum += int64(overhead + len(r.row) + cap(r.payload))
	}
	return sum
}

func TestStoreFromManyGoroutines(t *testing.T) {
	s := New(8, 1<<20, nobody)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			var last uint64
			for i := range 2000 {
				row := fmt.Sprint(i % 12)
				version := s.Put(0, "", "Todo", row, []byte{byte(worker)})
				if version <= last {
					t.Errorf("version %d after %d", version, last)
				}
				last = version
				if payload, got, ok := s.get("", "Todo", row); ok && (got < version || len(payload) != 1) {
					t.Errorf("row %s has version %d after %d was put", row, got, version)
				}
			}
		})
	}
	all.Wait()
	if got := s.Stats(); got.Rows != 8 {
		t.Errorf("got %+v", got)
	}
}

// get is the bytes of Frame's.
func (s *Store) get(tenant, entity, row string) (payload []byte, version uint64, ok bool) {
	f, version := s.Frame(tenant, entity, row, false)
	if f == nil {
		return nil, version, false
	}
	return f.Wire(), version, true
}

// Everyone who asks for one version of a row is owed the same bytes.
func TestSnapshotsAreShared(t *testing.T) {
	s := New(10, 1<<20, nobody)
	s.Put(0, "", "E", "r", []byte{0x82, 0})
	first, _ := s.Frame("", "E", "r", false)
	second, _ := s.Frame("", "E", "r", false)
	if first == nil || first != second {
		t.Error("two who ask for a row get two frames")
	}
	s.Put(0, "", "E", "r", []byte{0x82, 1, 7})
	if third, version := s.Frame("", "E", "r", false); third == nil || version != 2 || string(third.Wire()) != "\x82\x01\x07" {
		t.Errorf("the next version is %q, %d", third.Wire(), version)
	}
	if none, _ := s.Frame("", "E", "other", false); none != nil {
		t.Error("a row that isn't there has a frame")
	}
}
