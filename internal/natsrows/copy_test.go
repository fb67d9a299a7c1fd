package natsrows

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/rowcopy"
)

func noEvents(func(*hub.Change, time.Time) error) error { return nil }

// onDisk makes a file with rows.
func onDisk(t *testing.T, each rowcopy.Each) *disklog.Log {
	t.Helper()
	path := filepath.Join(t.TempDir(), "changes.db")
	if err := disklog.Import(path, hub.Bounds{Oldest: 1}, noEvents, each); err != nil {
		t.Fatal(err)
	}
	l, err := disklog.Open(path, disklog.Unbounded)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// listed are rows in their order.
func listed(t *testing.T, each rowcopy.Each) (all []string) {
	t.Helper()
	err := each(func(r *hub.StoredRow) error {
		all = append(all, fmt.Sprintf("%q %q %q %d %.20q", r.Tenant, r.Entity, r.RowID, len(r.Payload), r.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// From disk to NATS and back: the same rows in the same order, of any name and size, without updates.
func testCopy(t *testing.T, c *natstest.Cluster) {
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, partBytes - 100, partBytes, 300_000, 16 << 20}
	disk := onDisk(t, func(f func(*hub.StoredRow) error) error {
		for i := range 270 {
			size := i % 100
			if i < len(sizes) {
				size = sizes[i]
			}
			r := &hub.StoredRow{Tenant: fmt.Sprint("t", i%3), Entity: "E\x00ü.", RowID: fmt.Sprint(random.Uint64()), Payload: bytes.Repeat([]byte{byte(i)}, size)}
			if err := f(r); err != nil {
				return err
			}
		}
		return nil
	})
	o := optionsOf(t, c, "copy")
	if err := Import(t.Context(), o, disk.Rows().Load); err != nil {
		t.Fatal(err)
	}
	want := listed(t, disk.Rows().Load)
	n := open(t, c, 0, "copy")
	n.put(t, hub.Incremental, "update alone", "x")
	n.put(t, hub.Snapshot, "new", "1")
	n.put(t, hub.Incremental, "new", "1a")
	want = append(want, `"" "E" "new" 1 "1"`)
	e := exported(t, o)
	back := onDisk(t, func(f func(*hub.StoredRow) error) error { return e.Each(t.Context(), f) })
	if err := e.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if got := listed(t, back.Rows().Load); !slices.Equal(got, want) {
		t.Errorf("%d rows are back, want %d, or they differ", len(got), len(want))
	}
}

func exported(t *testing.T, o Options) *Export {
	t.Helper()
	e, err := OpenExport(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What is being copied takes no rows, and what was moved isn't opened.
func testCopyStates(t *testing.T, c *natstest.Cluster) {
	o := optionsOf(t, c, "states")
	e := exported(t, o)
	if got := listed(t, func(f func(*hub.StoredRow) error) error { return e.Each(t.Context(), f) }); len(got) > 0 {
		t.Errorf("without a stream there are %q", got)
	}
	if err := e.Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	o.PublishTimeout = 100 * time.Millisecond
	n := openWith(t, o)
	n.put(t, hub.Snapshot, "1", "x")
	e = exported(t, o)
	if err := n.Put(&hub.StoredRow{Kind: hub.Snapshot, Entity: "E", RowID: "2"}); !errors.Is(err, hub.ErrLogUnavailable) {
		t.Errorf("putting into what is copied: %v", err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, errMoved) {
		t.Errorf("opening what is copied: %v", err)
	}
	_ = e.Rows.Close() // broken off
	e = exported(t, o)
	if err := e.Close(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	n.put(t, hub.Snapshot, "2", "y")
	if err := exported(t, o).Close(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, errMoved) {
		t.Errorf("opening what was moved: %v", err)
	}
}

// A stream that has no room for all rows is no copy.
func testCopyWithoutRoom(t *testing.T, c *natstest.Cluster) {
	o := optionsOf(t, c, "noroom")
	o.MaxBytes = 1 << 20
	err := Import(t.Context(), o, func(f func(*hub.StoredRow) error) error {
		for i := range 20 {
			if err := f(&hub.StoredRow{Entity: "E", RowID: fmt.Sprint(i), Payload: make([]byte, 100_000)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "of 20 rows") {
		t.Errorf("got %v", err)
	}
}
