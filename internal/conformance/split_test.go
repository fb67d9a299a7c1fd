package conformance

import (
	"hash/fnv"
	"math/rand/v2"
)

// A split is a way to cut what a client sends.
type split struct {
	name string
	cut  func(stream string) []string
	// early: the first pieces come in the same segment as the upgrade request.
	early bool
}

// splits are the ways in which every stream is cut. Between two pieces the server has read
// the one before: see awaitRead.
func splits(seed string, large bool) []split {
	ways := []split{
		{name: "whole", cut: func(stream string) []string { return []string{stream} }},
		{name: "with the request", cut: func(stream string) []string { return []string{stream} }, early: true},
		{name: "at random", cut: func(stream string) []string { return atRandom(stream, seed) }},
		{name: "per byte", cut: perByte},
	}
	if large {
		return ways[:3]
	}
	return ways
}

// perByte is a piece for each byte. Of a long stream that is so at both ends: a server that
// reads a frame wrong, byte by byte, does so in its header or at its end.
func perByte(stream string) []string {
	const short, ends = 320, 64
	var pieces []string
	for i := 0; i < len(stream); i++ {
		if i == ends && len(stream) > short {
			pieces = append(pieces, stream[i:len(stream)-ends])
			i = len(stream) - ends
		}
		pieces = append(pieces, stream[i:i+1])
	}
	return pieces
}

// atRandom is up to a dozen pieces. The seed is the case's name, so a case that fails does so again.
func atRandom(stream, seed string) []string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(seed))
	random := rand.New(rand.NewPCG(h.Sum64(), uint64(len(stream))))
	var pieces []string
	for most := max(len(stream)/6, 2); stream != ""; {
		n := min(1+random.IntN(most), len(stream))
		pieces, stream = append(pieces, stream[:n]), stream[n:]
	}
	return pieces
}
