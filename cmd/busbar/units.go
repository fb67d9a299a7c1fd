package main

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Sizes in bytes. Powers of 1024 end in iB, powers of 1000 in B, as IEC 80000-13 has it.
const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// sizeUnits are the suffixes of a size, longest first so that "KiB" isn't taken
// for "B". They are in lower case; people write them in either.
var sizeUnits = []struct {
	suffix string
	bytes  uint64
}{
	{"kib", kib}, {"mib", mib}, {"gib", gib}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"b", 1},
}

// parseSize reads "65536", "64KiB" or "64KB" as a number of bytes. ok is false for
// anything else: a sign, a fraction, a unit without its B, or more bytes than an int holds.
func parseSize(text string) (bytes int, ok bool) {
	digits, unit := strings.ToLower(text), uint64(1)
	for _, u := range sizeUnits {
		if rest, found := strings.CutSuffix(digits, u.suffix); found {
			digits, unit = strings.TrimRight(rest, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > math.MaxInt/unit {
		return 0, false
	}
	return int(n * unit), true
}

// formatSize is the shortest text without a fraction that parseSize reads as bytes.
func formatSize(bytes int) string {
	switch {
	case bytes == 0:
		return "0"
	case bytes%gib == 0:
		return strconv.Itoa(bytes/gib) + "GiB"
	case bytes%mib == 0:
		return strconv.Itoa(bytes/mib) + "MiB"
	case bytes%kib == 0:
		return strconv.Itoa(bytes/kib) + "KiB"
	}
	return strconv.Itoa(bytes)
}

// formatDuration is d.String without the zero minutes and seconds of "24h0m0s".
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
