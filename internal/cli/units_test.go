package cli

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int{
		"0": 0, "1": 1, "65536": 65536, "7b": 7, "7B": 7,
		"64KiB": 65536, "64kib": 65536, "64KB": 64000, "64kB": 64000, "64 KiB": 65536,
		"1MiB": 1 << 20, "1MB": 1e6, "1GiB": 1 << 30, "1GB": 1e9, "2TiB": 2 << 40, "2TB": 2e12,
		"9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseSizeRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "KiB", "-1", "+1", "-1KiB", "1.5MiB", "64K", "64Ki", "1KiBB", "0x10", "1_000",
		"9223372036854775808", "8589934592GiB", "99999999999999999999KiB", "1 2", "٣",
	} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want a refusal", text, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 100 * time.Millisecond: "100ms", 10 * time.Second: "10s", time.Minute: "1m",
		90 * time.Second: "1m30s", 24 * time.Hour: "24h", 10 * time.Minute: "10m",
		time.Hour + time.Second: "1h0m1s", 30*time.Hour + 20*time.Minute: "30h20m",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%d) = %q, want %q", d, got, want)
		}
	}
}

// What ParseSize accepts is a number of bytes that FormatSize writes so that it is read the same.
func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"0", "64KiB", "64KB", "1 GiB", "9223372036854775807", "-1", "1.5MiB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseSize(text)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("ParseSize(%q) = %d", text, n)
		}
		if again, err := ParseSize(FormatSize(n)); err != nil || again != n {
			t.Fatalf("ParseSize(FormatSize(%d)) = %d, %v", n, again, err)
		}
	})
}
