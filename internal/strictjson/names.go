package strictjson

import (
	"bytes"
	"hash/maphash"
)

// names are those of one object, as the positions where they begin: beside its text an object
// takes up to 16 bytes a name, and no name of many can be shorter than half of that.
type names struct {
	first [16]uint32 // as long as there are no more
	// table has all of them otherwise: a name's place is the first that is free from the one on
	// that its hash gives. Its length is a power of two; 0 is a free place, since no name begins
	// a text.
	table   []uint32
	count   int
	escaped bool // one of them isn't spelled as what it stands for
}

// seed keeps publishers from choosing names that all have one place.
var seed = maphash.MakeSeed()

// add is false for a name that the object has.
func (s *scanner) add(seen *names, at, end int) bool {
	name := s.text[at:end]
	if bytes.IndexByte(name, '\\') >= 0 {
		seen.escaped = true
	}
	if seen.table == nil {
		for _, other := range seen.first[:seen.count] {
			if s.same(seen, int(other), name, at) {
				return false
			}
		}
		if seen.count < len(seen.first) {
			seen.first[seen.count] = uint32(at)
			seen.count++
			return true
		}
		s.grow(seen, 4*len(seen.first), seen.first[:])
	} else if seen.count >= len(seen.table)/4*3 {
		s.grow(seen, 2*len(seen.table), seen.table)
	}
	place := s.place(seen, at)
	for ; seen.table[place] != 0; place = (place + 1) % len(seen.table) {
		if s.same(seen, int(seen.table[place]), name, at) {
			return false
		}
	}
	seen.table[place] = uint32(at)
	seen.count++
	return true
}

// same is whether the name that begins at other stands for the same as the one at at.
func (s *scanner) same(seen *names, other int, name []byte, at int) bool {
	if seen.escaped {
		return bytes.Equal(s.decoded(other), s.decoded(at))
	}
	return bytes.HasPrefix(s.text[other:], name) // with both quotes
}

// grow moves names to a table of so many places.
func (s *scanner) grow(seen *names, size int, all []uint32) {
	if cap(s.spare) >= size {
		seen.table, s.spare = s.spare[:size], nil
		clear(seen.table)
	} else {
		seen.table = make([]uint32, size)
	}
	for _, at := range all {
		if at == 0 {
			continue
		}
		place := s.place(seen, int(at))
		for seen.table[place] != 0 {
			place = (place + 1) % size
		}
		seen.table[place] = at
	}
}

func (s *scanner) place(seen *names, at int) int {
	return int(maphash.Bytes(seed, s.decoded(at)) & uint64(len(seen.table)-1))
}

// forget leaves an object's table to the next.
func (s *scanner) forget(seen *names) {
	if cap(seen.table) > cap(s.spare) {
		s.spare = seen.table
	}
}
