package loadgen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/busbar-ws/busbar/bench/runner"
)

// SizeShare is a size of payloads in bytes, and how many of all messages have it: Weight
// divided by the sum of the mixture's weights.
type SizeShare struct {
	Size   int `json:"size"`
	Weight int `json:"weight"`
}

// Mixture is the sizes that messages have. Which one a message has follows from its number
// alone, so that a client knows what to expect, and every run publishes the same.
type Mixture []SizeShare

// Set reads "128:6,1024:3,16384:1": sizes in bytes and their weights. A size alone has the
// weight 1.
func (m *Mixture) Set(text string) error {
	*m = nil
	for part := range strings.SplitSeq(text, ",") {
		size, weight, weighted := strings.Cut(strings.TrimSpace(part), ":")
		s := SizeShare{Weight: 1}
		var err error
		if s.Size, err = strconv.Atoi(size); err == nil && weighted {
			s.Weight, err = strconv.Atoi(weight)
		}
		if err != nil {
			return fmt.Errorf("%q isn't SIZE or SIZE:WEIGHT", part)
		}
		*m = append(*m, s)
	}
	return m.Validate()
}

// Size is the mixture of one size alone.
func Size(bytes int) Mixture { return Mixture{{Size: bytes, Weight: 1}} }

// maxWeight keeps the sum of weights small enough for any number of sizes.
const maxWeight = 1 << 20

// Validate is an error unless it has sizes that targets take.
func (m Mixture) Validate() error {
	if len(m) == 0 {
		return fmt.Errorf("%w: size: at least one", runner.ErrOptions)
	}
	for _, s := range m {
		if s.Size < MinSize || s.Size > MaxSize {
			return fmt.Errorf("%w: size: %d bytes; %d to 16 MiB", runner.ErrOptions, s.Size, MinSize)
		}
		if s.Weight < 1 || s.Weight > maxWeight {
			return fmt.Errorf("%w: size: a weight of %d; 1 to %d", runner.ErrOptions, s.Weight, maxWeight)
		}
	}
	return nil
}

func (m Mixture) weights() (sum uint64) {
	for _, s := range m {
		sum += uint64(s.Weight)
	}
	return sum
}

// Of is the size of a message's payload; 0 when the mixture is empty.
func (m Mixture) Of(seq uint64) int {
	if len(m) < 2 {
		for _, s := range m {
			return s.Size
		}
		return 0
	}
	at := scatter(seq) % m.weights()
	for _, s := range m {
		if at < uint64(s.Weight) {
			return s.Size
		}
		at -= uint64(s.Weight)
	}
	return 0 // not reached: at is below the sum
}

// scatter turns successive numbers into ones without a pattern: the constants are those of
// Murmur3's last step for 64 bits.
func scatter(n uint64) uint64 {
	n++
	n = (n ^ n>>33) * 0xFF51AFD7ED558CCD
	n = (n ^ n>>33) * 0xC4CEB9FE1A85EC53
	return n ^ n>>33
}

// String is what Set reads; a single size is a number alone.
func (m Mixture) String() string {
	if len(m) == 1 {
		return strconv.Itoa(m[0].Size)
	}
	var parts []string
	for _, s := range m {
		parts = append(parts, fmt.Sprintf("%d:%d", s.Size, s.Weight))
	}
	return strings.Join(parts, ",")
}
