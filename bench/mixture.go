package bench

import (
	"fmt"
	"strconv"
	"strings"
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

// ParseMixture reads "128:6,1024:3,16384:1": sizes in bytes and their weights. A size alone
// has the weight 1.
func ParseMixture(text string) (Mixture, error) {
	var m Mixture
	for part := range strings.SplitSeq(text, ",") {
		size, weight, weighted := strings.Cut(strings.TrimSpace(part), ":")
		s := SizeShare{Weight: 1}
		var err error
		if s.Size, err = strconv.Atoi(size); err == nil && weighted {
			s.Weight, err = strconv.Atoi(weight)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: sizes: %q isn't SIZE:WEIGHT", ErrOptions, part)
		}
		m = append(m, s)
	}
	return m, m.validate()
}

// maxWeight keeps the sum of weights small enough for any number of sizes.
const maxWeight = 1 << 20

func (m Mixture) validate() error {
	if len(m) == 0 {
		return fmt.Errorf("%w: sizes: at least one", ErrOptions)
	}
	for _, s := range m {
		if s.Size < MinSize || s.Size > maxSize {
			return fmt.Errorf("%w: sizes: %d bytes; %d to 16 MiB", ErrOptions, s.Size, MinSize)
		}
		if s.Weight < 1 || s.Weight > maxWeight {
			return fmt.Errorf("%w: sizes: a weight of %d; 1 to %d", ErrOptions, s.Weight, maxWeight)
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

// of is the size of a message's payload; 0 when the mixture is empty.
func (m Mixture) of(seq uint64) int {
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

// String is what ParseMixture reads; a single size is a number alone.
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
