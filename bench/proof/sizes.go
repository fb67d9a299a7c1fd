package proof

import "math/rand/v2"

// sizes of messages in bytes: most are small, one in a hundred is 1 MiB.
var sizes = []struct{ bytes, weight int }{{10, 40}, {120, 30}, {1 << 10, 18}, {12 << 10, 8}, {100 << 10, 3}, {1 << 20, 1}}

func sizeOf(r *rand.Rand) int {
	at := r.IntN(100)
	for _, s := range sizes {
		if at -= s.weight; at < 0 {
			return s.bytes
		}
	}
	return sizes[0].bytes
}
