package loadgen

import (
	"math"
	"testing"
)

func mixtureOf(text string) (m Mixture, err error) {
	err = m.Set(text)
	return m, err
}

func TestMixtureHasTheSharesThatWereAskedFor(t *testing.T) {
	m, err := mixtureOf("128:70, 512:20,2048:8,16384:2")
	if err != nil {
		t.Fatal(err)
	}
	const messages = 100_000
	counts := map[int]int{}
	for seq := range uint64(messages) {
		counts[m.Of(seq)]++
	}
	if len(counts) != len(m) {
		t.Errorf("sizes %v", counts)
	}
	for _, s := range m {
		if share, want := float64(counts[s.Size])/messages, float64(s.Weight)/100; math.Abs(share-want) > 0.01 {
			t.Errorf("%d bytes: %v of the messages, want %v", s.Size, share, want)
		}
	}
	if again, err := mixtureOf(m.String()); err != nil || again.String() != m.String() || again.Of(12345) != m.Of(12345) {
		t.Errorf("%v, read again: %v, %v", m, again, err)
	}
}

func TestMixtureOfOneSize(t *testing.T) {
	m, err := mixtureOf("64")
	if err != nil || m.String() != "64" || m.Of(0) != 64 || m.Of(99) != 64 {
		t.Errorf("%v, %v", m, err)
	}
	if none := (Mixture)(nil).Of(1); none != 0 {
		t.Errorf("no mixture: %d bytes", none)
	}
}

func TestMixturesThatCantBe(t *testing.T) {
	for _, text := range []string{"", "x", "64:", "64:x", "64:0", "64:-1", "8:1", "64:1,,", "99999999:1", "64:9999999"} {
		if m, err := mixtureOf(text); err == nil {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
}
