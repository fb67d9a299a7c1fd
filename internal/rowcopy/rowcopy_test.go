package rowcopy

import (
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

func eachOf(all ...hub.StoredRow) Each {
	return func(f func(*hub.StoredRow) error) error {
		for i := range all {
			if err := f(&all[i]); err != nil {
				return err
			}
		}
		return nil
	}
}

// What is read back has to be what was copied: whose it is, names, payload and order.
func TestCopyChecks(t *testing.T) {
	a := hub.StoredRow{Tenant: "t", Entity: "E", RowID: "a", Payload: []byte("1")}
	b := hub.StoredRow{Tenant: "t", Entity: "E", RowID: "b", Payload: []byte("2")}
	moved := func(r hub.StoredRow, change func(*hub.StoredRow)) hub.StoredRow {
		change(&r)
		return r
	}
	for name, test := range map[string]struct {
		back Each
		want string
	}{
		"same":      {eachOf(a, b), ""},
		"none":      {eachOf(), "of 2 rows 0 are there"},
		"one more":  {eachOf(a, b, b), "of 2 rows 3 are there"},
		"order":     {eachOf(b, a), "of 2 rows some are others"},
		"payload":   {eachOf(a, moved(b, func(r *hub.StoredRow) { r.Payload = []byte("3") })), "some are others"},
		"tenant":    {eachOf(a, moved(b, func(r *hub.StoredRow) { r.Tenant = "" })), "some are others"},
		"name":      {eachOf(a, moved(b, func(r *hub.StoredRow) { r.RowID = "c" })), "some are others"},
		"elsewhere": {eachOf(a, moved(b, func(r *hub.StoredRow) { r.Entity, r.RowID = "Eb", "" })), "some are others"},
	} {
		into := func(each Each) error { return each(func(*hub.StoredRow) error { return nil }) }
		err := Copy(eachOf(a, b), into, test.back)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
