package rates

import "time"

// bucket is a token bucket that starts full.
type bucket struct {
	used float64       // tokens that are missing
	at   time.Duration // when used was right
}

// settle lets in what has flown since. Loops read their clocks at slightly different
// times, so now may be a little before at.
func (b *bucket) settle(l Limit, now time.Duration) {
	if now > b.at {
		b.used = max(0, b.used-l.PerSecond*(now-b.at).Seconds())
		b.at = now
	}
}

// holds is whether n tokens are there. What is larger than the whole bucket passes when
// that is full, and leaves a debt: otherwise it never could.
func (b *bucket) holds(l Limit, n float64) bool { return b.used+min(n, l.Burst) <= l.Burst }

func (b *bucket) full(l Limit, now time.Duration) bool {
	return l.PerSecond <= 0 || b.used <= l.PerSecond*(now-b.at).Seconds()
}
