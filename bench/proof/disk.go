package proof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errNoDisk is no failure of who didn't ask for the scenario by name: many machines have no such thing.
var errNoDisk = fmt.Errorf("%w: it needs root, mke2fs, a loop device and an ext4 that can be shut down", errAbsent)

// makeDisk is an ext4 in a file, behind a loop device. It goes when the last has closed it.
func makeDisk(ctx context.Context, image string) (device *os.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %w", errNoDisk, err)
		}
	}()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<30)); err != nil {
		return nil, err
	}
	var here *room
	if err := here.do(ctx, "mke2fs -q -F -t ext4 %s", image); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "losetup", "--find", "--show", image).Output()
	if err != nil {
		return nil, fmt.Errorf("losetup: %w", err)
	}
	name := strings.TrimSpace(string(out))
	device, err = os.Open(name)
	return device, errors.Join(err, here.do(ctx, "losetup --detach %s", name)) // once nobody has it open
}

// Not in x/sys/unix: fs/ext4/ext4.h, whose flag 2 has the journal not written out.
const (
	ext4Shutdown = 0x8004587d
	withoutFlush = 2
)

// cutPower takes from a daemon's data directory, which is a mount of the device, what nobody had synced, and has the
// daemon killed. It is stopped first, as a power cut would stop it: an fsync that an ext4 is shut down in may return 0
// with nothing synced (Linux 6.18, 2 times of 25 with one writer), which a process without power couldn't tell anybody.
func (n *node) cutPower(ctx context.Context, device string) error {
	if err := n.freeze(); err != nil {
		return err
	}
	canary := n.path("canary") // that nobody syncs
	if err := os.WriteFile(canary, []byte("alive"), 0o600); err != nil {
		return err
	}
	f, err := os.Open(canary)
	if err != nil {
		return err
	}
	err = unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, withoutFlush)
	f.Close()
	if err != nil {
		return fmt.Errorf("%w: shutting it down: %w", errNoDisk, err)
	}
	_ = n.kill()
	if err := n.room.do(ctx, "umount %s", n.dir); err != nil {
		return err
	}
	if err := n.room.mount(ctx, "ext4", device, "rw", n.dir); err != nil {
		return err
	}
	text, err := os.ReadFile(canary)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case len(text) > 0:
		return errors.New("what nobody had synced is there: the power wasn't cut")
	}
	return nil
}

// freeze is over when no thread of the process will run any more, unless it is in a system call.
func (n *node) freeze() error {
	if err := n.Process.Signal(unix.SIGSTOP); err != nil {
		return fmt.Errorf("SIGSTOP: %w", err)
	}
	return poll(context.Background(), patience, time.Millisecond, func() (bool, error) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.pid()))
		if err != nil || len(threads) == 0 {
			return false, fmt.Errorf("no threads of %d: %w", n.pid(), err)
		}
		return !slices.ContainsFunc(threads, runs), nil
	})
}

func runs(stat string) bool {
	text, _ := os.ReadFile(stat)
	_, state, ok := strings.Cut(string(text), ") ") // proc(5)
	return ok && !strings.HasPrefix(state, "T") && !strings.HasPrefix(state, "D")
}
