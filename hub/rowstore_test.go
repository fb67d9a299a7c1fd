package hub

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRowStore(t *testing.T) {
	s := newRowStore(10, 1<<20)
	first := s.put("acme", "Todo", "1", []byte("one"))
	second := s.put("acme", "Todo", "1", []byte("two"))
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
	if got := s.stats(); got.rows != 1 || got.evicted != 0 {
		t.Errorf("replacing a row left %+v", got)
	}
	for _, tenant := range []string{"other", ""} { // it moves
		s.put(tenant, "Todo", "1", []byte("three"))
		for _, reader := range []string{"acme", "other", ""} {
			_, _, ok := s.get(reader, "Todo", "1")
			if want := tenant == "" || reader == tenant; ok != want {
				t.Errorf("a row of %q can be read by %q: %v", tenant, reader, ok)
			}
		}
	}
}

// Whatever a name contains, two rows are never one.
func TestRowStoreKeysDontCollide(t *testing.T) {
	names := [][2]string{{"a|b", "c"}, {"a", "b|c"}, {"a\x00b", ""}, {"a", "\x00b"}, {"", "ab"}, {"ab", ""}, {"a/b", "c"}, {"a", "b/c"}}
	s := newRowStore(100, 1<<20)
	for i, n := range names {
		s.put("", n[0], n[1], []byte{byte(i)})
		if entity, row := rowOfKey(keyOfRow(n[0], n[1])); entity != n[0] || row != n[1] {
			t.Errorf("the key of %q is that of %q, %q", n, entity, row)
		}
	}
	for i, n := range names {
		if payload, _, ok := s.get("", n[0], n[1]); !ok || !bytes.Equal(payload, []byte{byte(i)}) {
			t.Errorf("%q: got %v, %v, want %d", n, payload, ok, i)
		}
	}
}

func TestRowStoreEvictsWhatWasNotUsedForLongest(t *testing.T) {
	s := newRowStore(3, 1<<20)
	for _, row := range []string{"1", "2", "3"} {
		s.put("", "Todo", row, nil)
	}
	s.get("", "Todo", "1")
	s.put("", "Todo", "2", nil)
	last := s.put("", "Todo", "4", nil) // 3 goes: 1 was read, 2 written
	for row, want := range map[string]bool{"1": true, "2": true, "3": false, "4": true} {
		if _, _, ok := s.get("", "Todo", row); ok != want {
			t.Errorf("row %s: kept is %v", row, ok)
		}
	}
	if got := s.stats(); got.rows != 3 || got.evicted != 1 {
		t.Errorf("got %+v", got)
	}
	if again := s.put("", "Todo", "3", nil); again <= last {
		t.Errorf("an evicted row came back with version %d after %d", again, last)
	}
}

func TestRowStoreTooLarge(t *testing.T) {
	s := newRowStore(10, 1000)
	s.put("", "Todo", "small", make([]byte, 10))
	s.put("", "Todo", "grows", make([]byte, 10))
	if version := s.put("", "Todo", "grows", make([]byte, 1000)); version != 3 {
		t.Errorf("version %d", version)
	}
	if _, _, ok := s.get("", "Todo", "grows"); ok {
		t.Error("an outdated snapshot was kept")
	}
	if _, _, ok := s.get("", "Todo", "small"); !ok {
		t.Error("a row made way for one that can't be kept")
	}
	if got := s.stats(); got.rows != 1 || got.evicted != 1 {
		t.Errorf("got %+v", got)
	}
	s.put("", "Todo", "spare", make([]byte, 10, 1000))
	if _, _, ok := s.get("", "Todo", "spare"); ok {
		t.Error("a payload's unused capacity wasn't counted")
	}
	none := newRowStore(0, 1000)
	none.put("", "Todo", "1", nil)
	if got := none.stats(); got.rows != 0 || got.bytes != 0 {
		t.Errorf("a store of no rows keeps %+v", got)
	}
}

// Random reads and writes against a slice in order of use.
func TestRowStoreRandomly(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 3))
		maxRows, maxBytes := 1+random.IntN(10), int64(500+random.IntN(4000))
		s := newRowStore(maxRows, maxBytes)
		model := rowModel{maxRows: maxRows, maxBytes: maxBytes}
		for step := range 2000 {
			row := fmt.Sprint(random.IntN(15))
			if random.IntN(2) == 0 {
				payload := make([]byte, random.IntN(800))
				s.put("", "", row, payload)
				model.put(row, payload)
			}
			payload, _, ok := s.get("", "", row)
			want, wantOK := model.get(row)
			if ok != wantOK || len(payload) != len(want) {
				t.Fatalf("seed %d, step %d: row %s has %d bytes, %v; want %d, %v", seed, step, row, len(payload), ok, len(want), wantOK)
			}
			if got := s.stats(); got.rows != len(model.rows) || got.bytes != model.bytes() || got.bytes > maxBytes {
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
	if int64(rowOverhead+len(row)+cap(payload)) > m.maxBytes {
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
		sum += int64(rowOverhead + len(r.row) + cap(r.payload))
	}
	return sum
}

func TestRowStoreFromManyGoroutines(t *testing.T) {
	s := newRowStore(8, 1<<20)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			var last uint64
			for i := range 2000 {
				row := fmt.Sprint(i % 12)
				version := s.put("", "Todo", row, []byte{byte(worker)})
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
	if got := s.stats(); got.rows != 8 {
		t.Errorf("got %+v", got)
	}
}

// Who publishes a tenant's row for others, or forgets to name its tenant, is told of in the log.
func TestTakingARowFromItsTenantIsLogged(t *testing.T) {
	var log bytes.Buffer
	h := start(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	publish := func(kind RowKind, tenant string) {
		h.rowTrouble.last = time.Time{}
		if err := h.PublishRow(kind, tenant, "E", "r", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	const warning = "others than its tenant"
	publish(Snapshot, "")
	publish(Snapshot, "acme")
	publish(Snapshot, "acme")
	publish(Incremental, "")
	if strings.Contains(log.String(), warning) {
		t.Error("nobody's row was taken: ", log.String())
	}
	publish(Snapshot, "")
	publish(Snapshot, "acme")
	publish(Snapshot, "other")
	if n := strings.Count(log.String(), warning); n != 2 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}
