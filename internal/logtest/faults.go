package logtest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// What a process is told that a test started of itself: where its log is, and how often that was before.
const (
	childDir   = "BUSBAR_LOGTEST_DIR"
	childRound = "BUSBAR_LOGTEST_ROUND"
)

// itself is a command that runs the calling test alone, in another process.
func itself(t *testing.T, dir string, wrap ...string) *exec.Cmd {
	args := append(wrap, os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Kill is a test of its own: a process that appends is killed, again and again. What it was told is stored is
// there afterwards, once and in order, and no call's changes are there in part. Open opens the log in a
// directory; the test closes it by close.
func Kill(t *testing.T, open func(t *testing.T, dir string) (l hub.ChangeLog, closeLog func())) {
	if dir := os.Getenv(childDir); dir != "" {
		l, _ := open(t, dir)
		appendForEver(l)
		return
	}
	dir := t.TempDir()
	acknowledged := map[string]uint64{}
	for round := range 5 {
		killed(t, dir, round, acknowledged)
		l, closeLog := open(t, dir)
		checkAfterKill(t, All(t, l, 0, 500), acknowledged)
		for id, seq := range acknowledged { // of the round just now
			if strings.HasPrefix(id, fmt.Sprint(round)+"/") {
				if done := Append(t, l, withOpID(id)); done[0] != (hub.Appended{Seq: seq, Repeated: true}) {
					t.Fatalf("%s again: %+v, at first %d", id, done, seq)
				}
				break
			}
		}
		closeLog()
	}
	t.Logf("%d changes were acknowledged", len(acknowledged))
}

// batch is how many changes each call of a process has that is killed.
const batch = 3

// appendForEver prints what is acknowledged, a line a call.
func appendForEver(l hub.ChangeLog) {
	start := os.Getenv(childRound)
	var mu sync.Mutex
	var all sync.WaitGroup
	for p := range 8 {
		all.Go(func() {
			for n := 0; ; n++ {
				changes := make([]hub.Change, batch)
				for i := range changes {
					changes[i] = withOpID(fmt.Sprintf("%s/%d/%d/%d", start, p, n, i))
				}
				done, err := l.Append(changes)
				if err != nil {
					fmt.Println("FAILED", err)
					return
				}
				mu.Lock()
				for i, d := range done {
					fmt.Printf("ACK %s %d\n", changes[i].OpID, d.Seq)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// killed has a process append until it has had some hundreds of answers.
func killed(t *testing.T, dir string, round int, acknowledged map[string]uint64) {
	t.Helper()
	calls := 150 * (round + 1)
	cmd := itself(t, dir)
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", childRound, round))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "FAILED") {
			t.Error(lines.Text())
		}
		var id string
		var seq uint64
		if n, _ := fmt.Sscanf(lines.Text(), "ACK %s %d", &id, &seq); n < 2 {
			continue
		}
		acknowledged[id] = seq
		if seen++; seen == calls*batch {
			_ = cmd.Process.Kill() // what it has printed by then counts too
		}
	}
	_ = cmd.Wait()
	if seen < calls*batch {
		t.Fatalf("the process ended by itself after %d answers", seen)
	}
}

func checkAfterKill(t *testing.T, entries []hub.Entry, acknowledged map[string]uint64) {
	t.Helper()
	found := map[uint64]bool{}
	rows := map[string]int{}
	for i, e := range entries {
		c, err := hub.DecodeChange(withoutSeq(e.JSON))
		if err != nil {
			t.Fatalf("entry %d: %v", e.Seq, err)
		}
		if i > 0 && e.Prev != entries[i-1].Seq {
			t.Fatalf("entry %d is behind %d, and comes behind %d", e.Seq, e.Prev, entries[i-1].Seq)
		}
		if seq, ok := acknowledged[c.RowID]; ok && seq != e.Seq {
			t.Fatalf("%s is entry %d, and %d was acknowledged", c.RowID, e.Seq, seq)
		}
		found[e.Seq] = true
		rows[filepath.Dir(c.RowID)]++
	}
	for id, seq := range acknowledged {
		if !found[seq] {
			t.Fatalf("%s was acknowledged as %d, and is lost", id, seq)
		}
	}
	for call, n := range rows {
		if n != batch {
			t.Fatalf("call %s is there %d times, of %d changes", call, n, batch)
		}
	}
}

// withoutSeq is an event as a change that a publisher could send.
func withoutSeq(event []byte) []byte {
	_, rest, _ := strings.Cut(string(event), ",")
	return []byte("{" + rest)
}

// FullDisk is a test of its own: the log's disk, which is a small one, fills up and has room again. Publishers are
// told; what was acknowledged is there, what wasn't isn't; and it goes on without a new start.
func FullDisk(t *testing.T, open func(t *testing.T, dir string) (l hub.ChangeLog, closeLog func())) {
	dir := os.Getenv(childDir)
	if dir == "" {
		dir = t.TempDir()
		const mount = `mount -t tmpfs -o size=8m busbar-test "$1" && shift && exec "$@"`
		out, err := itself(t, dir, "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		return
	}
	l, closeLog := open(t, dir)
	f := Follow(t, l)
	seqs := seqsOfResults(Append(t, l, Changes(100)...))
	filler := filepath.Join(dir, "filler")
	for round := range 3 {
		fill(t, filler)
		more, refused := appendUntilRefused(t, l)
		seqs = append(seqs, more...)
		if got := seqsOf(All(t, l, 0, 1000)); !slices.Equal(got, seqs) {
			t.Fatalf("while the disk is full: %d entries, want %d", len(got), len(seqs))
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		again := Append(t, l, refused...) // with the same op ids
		for _, d := range again {
			if d.Repeated {
				t.Fatalf("what was refused is there: %+v", d)
			}
		}
		if seqs = append(seqs, seqsOfResults(again)...); !slices.IsSorted(seqs) || !slices.Equal(f.Seqs(), seqs) {
			t.Fatalf("round %d: %d delivered, want %d", round, len(f.entries), len(seqs))
		}
	}
	fill(t, filler)
	appendUntilRefused(t, l)
	seqs = f.Seqs()
	closeLog()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	l, closeLog = open(t, dir)
	defer closeLog()
	if got := seqsOf(All(t, l, 0, 1000)); !slices.Equal(got, seqs) {
		t.Fatalf("afterwards: %d entries, want %d", len(got), len(seqs))
	}
}

// appendUntilRefused has several publishers append, until all have been refused for want of room.
func appendUntilRefused(t *testing.T, l hub.ChangeLog) (seqs []uint64, refused []hub.Change) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for p := range 4 {
		all.Go(func() {
			for n, misses := 0, 0; misses < 3; n++ {
				c := withOpID(fmt.Sprintf("%d/%d/%d", l.Bounds().Last, p, n))
				c.Data = []byte(`"` + strings.Repeat("x", 20_000) + `"`)
				done, err := l.Append([]hub.Change{c})
				mu.Lock()
				if err == nil {
					seqs, misses = append(seqs, done[0].Seq), 0
				} else if refused, misses = append(refused, c), misses+1; !errors.Is(err, hub.ErrLogFull) || len(done) > 0 {
					t.Errorf("got %+v, %v", done, err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(seqs)
	return seqs, refused
}

// fill takes all that is free.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
