package main

import (
	"bufio"
	"bytes"
	"math"
	"path"
	"strconv"
	"strings"
)

// parseNumbers reads as many numbers as into holds, separated by space; -1 for each that
// isn't there.
func parseNumbers(text []byte, into []int64) {
	fields := strings.Fields(string(text))
	for i := range into {
		into[i] = -1
		if i >= len(fields) {
			continue
		}
		if n, err := parseLimit(fields[i]); err == nil {
			into[i] = n
		}
	}
}

// parseLimit reads a number that is not negative. fs.file-max is 2^63-1 by default, and
// some limits go up to 2^64-1: they count as MaxInt64.
func parseLimit(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	return int64(min(n, math.MaxInt64)), err
}

func first(text []byte) int64 {
	var n [1]int64
	parseNumbers(text, n[:])
	return n[0]
}

// parseLimits finds RLIMIT_NOFILE in /proc/self/limits; -1 when it isn't there.
func parseLimits(text []byte) (soft, hard int64) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Max open files")); ok {
			var n [2]int64
			parseNumbers(bytes.ReplaceAll(rest, []byte("unlimited"), []byte("9223372036854775807")), n[:])
			return n[0], n[1]
		}
	}
	return -1, -1
}

// parseMeminfo reads /proc/meminfo, in bytes; -1 for what isn't there.
func parseMeminfo(text []byte) (total, available int64) {
	total, available = -1, -1
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		kib := first(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB")))
		if kib < 0 || kib > math.MaxInt64/1024 {
			continue
		}
		switch string(name) {
		case "MemTotal":
			total = kib * 1024
		case "MemAvailable":
			available = kib * 1024
		}
	}
	return total, available
}

// cgroupMemoryFiles are the files, from the root directory, that may hold a memory limit
// for the control groups in /proc/self/cgroup (cgroups(7)) and for those above them. In
// a container the path is often the host's, so that only the top exists.
func cgroupMemoryFiles(text []byte) []string {
	var files []string
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		// hierarchy:controllers:path; version 2 is "0::/path"
		parts := strings.SplitN(scanner.Text(), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, file := "", ""
		switch {
		case parts[0] == "0" && parts[1] == "":
			mount, file = "sys/fs/cgroup", "memory.max"
		case containsWord(parts[1], "memory"):
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			files = append(files, path.Join(mount, dir, file))
			if dir == "/" {
				break
			}
		}
	}
	return files
}

func containsWord(list, word string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if part == word {
			return true
		}
	}
	return false
}

// noCgroupLimit is where version 1 writes "no limit": the largest int64 that is a whole
// number of pages, whatever their size.
const noCgroupLimit = math.MaxInt64 &^ (1<<20 - 1)

// parseCgroupLimit reads a memory limit in bytes; -1 for none.
func parseCgroupLimit(text []byte) int64 {
	n := first(text) // "max" isn't a number
	if n >= noCgroupLimit {
		return -1
	}
	return n
}

// lockHeld looks in /proc/locks for a flock(2) on the file with that inode.
func lockHeld(locks []byte, inode uint64) bool {
	for line := range bytes.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 708 00:17:13298 0 EOF
		f := strings.Fields(string(line))
		if len(f) < 6 || f[1] != "FLOCK" {
			continue
		}
		at := strings.LastIndexByte(f[5], ':')
		if n, err := strconv.ParseUint(f[5][at+1:], 10, 64); err == nil && n == inode {
			return true
		}
	}
	return false
}

// parseKernel reads the first two numbers of a release such as "6.12.9-amd64".
func parseKernel(release string) (major, minor int, ok bool) {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	digits := strings.IndexFunc(parts[1], func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(parts[1])
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1][:digits])
	return major, minor, err1 == nil && err2 == nil
}
