// Package rowcopy copies published rows from one store to another.
package rowcopy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/busbar-ws/busbar/hub"
)

// Each calls a function with all rows of a store, the one that was written last at the end, up to its first error.
type Each = func(func(*hub.StoredRow) error) error

// Copy has into store all rows of a store, and reads them back: what isn't the same, in the same order, is an error.
func Copy(from Each, into func(Each) error, back Each) error {
	want, got := digest{hash: sha256.New()}, digest{hash: sha256.New()}
	if err := into(func(f func(*hub.StoredRow) error) error { return from(want.and(f)) }); err != nil {
		return err
	}
	if err := back(got.and(func(*hub.StoredRow) error { return nil })); err != nil {
		return err
	}
	if got.rows != want.rows {
		return fmt.Errorf("of %d rows %d are there afterwards", want.rows, got.rows)
	}
	if !bytes.Equal(got.hash.Sum(nil), want.hash.Sum(nil)) {
		return fmt.Errorf("of %d rows some are others afterwards", want.rows)
	}
	return nil
}

// digest tells rows in their order from others.
type digest struct {
	rows int
	hash hash.Hash
}

// and takes the rows that f is called with.
func (d *digest) and(f func(*hub.StoredRow) error) func(*hub.StoredRow) error {
	return func(r *hub.StoredRow) error {
		d.rows++
		for _, text := range []string{r.Tenant, r.Entity, r.RowID} {
			d.hash.Write(binary.AppendUvarint(nil, uint64(len(text))))
			d.hash.Write([]byte(text))
		}
		d.hash.Write(binary.AppendUvarint(nil, uint64(len(r.Payload))))
		d.hash.Write(r.Payload)
		return f(r)
	}
}
