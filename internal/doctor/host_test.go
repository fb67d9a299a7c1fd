package doctor

import (
	"math"
	"slices"
	"testing"
)

func TestNumbers(t *testing.T) {
	for text, want := range map[string][]int64{
		"1\t2\t3\n": {1, 2, 3}, "1 2": {1, 2}, "1 x 3 4": {1, -1, 3, 4}, "-5": {-1}, "": nil, "18446744073709551615": {math.MaxInt64},
	} {
		if got := numbers([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestParseLimits(t *testing.T) {
	for text, want := range map[string][2]int64{
		"Max cpu time  unlimited unlimited seconds\nMax open files  1024   4096   files\n": {1024, 4096},
		"Max open files            1024                 unlimited            files     ":   {1024, math.MaxInt64},
		"Max open files": {-1, -1},
		"":               {-1, -1},
	} {
		if soft, hard := parseLimits([]byte(text)); [2]int64{soft, hard} != want {
			t.Errorf("%q: %d %d, want %v", text, soft, hard, want)
		}
	}
}

func TestLockHeld(t *testing.T) {
	const locks = "1: POSIX  ADVISORY  WRITE 70 fd:01:11 0 EOF\n2: FLOCK  ADVISORY  WRITE 708 00:17:13298 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 9 00:17:77 0 EOF\nshort\n"
	for inode, want := range map[uint64]bool{13298: true, 11: false, 77: false, 1329: false} {
		if got := lockHeld([]byte(locks), inode); got != want {
			t.Errorf("%d: %t, want %t", inode, got, want)
		}
	}
}

func TestParseKernel(t *testing.T) {
	for release, want := range map[string][2]int{
		"6.18.44-fc-v669": {6, 18}, "5.15": {5, 15}, "4.19-rc1": {4, 19},
	} {
		major, minor, ok := parseKernel(release)
		if !ok || [2]int{major, minor} != want {
			t.Errorf("%s: %d.%d %t, want %v", release, major, minor, ok, want)
		}
	}
	for _, release := range []string{"", "6", "six.one", "6."} {
		if _, _, ok := parseKernel(release); ok {
			t.Errorf("%q was read", release)
		}
	}
}
