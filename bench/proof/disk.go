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
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(image, 1<<30); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", image).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mke2fs: %w %s", err, out)
	}
	out, err := exec.CommandContext(ctx, "losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("losetup: %w %s", err, out)
	}
	name := strings.TrimSpace(string(out))
	device, err = os.Open(name)
	if err := exec.CommandContext(ctx, "losetup", "--detach", name).Run(); err != nil { // once nobody has it open
		return device, fmt.Errorf("losetup --detach: %w", err)
	}
	return device, err
}

// Not in x/sys/unix: fs/ext4/ext4.h, whose flag 2 has the journal not written out.
const (
	ext4Shutdown = 0x8004587d
	withoutFlush = 2
)

// cutPower takes from a daemon's data directory, which is a mount of the device, what nobody had synced, and has the
// daemon killed. It is stopped first, as a power cut would stop it: an fsync that an ext4 is shut down in may return 0
// with nothing synced (Linux 6.18, 2 times of 25 with one writer), which a process without power couldn't tell anybody.
func (d *daemon) cutPower(ctx context.Context, device string) error {
	if err := d.freeze(); err != nil {
		return err
	}
	canary := d.path("canary") // that nobody syncs
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
	d.kill()
	if err := d.room.do(ctx, "umount "+d.dir); err != nil {
		return err
	}
	if err := d.room.mount(ctx, "ext4", device, "rw", d.dir); err != nil {
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
func (d *daemon) freeze() error {
	if err := d.Process.Signal(unix.SIGSTOP); err != nil {
		return fmt.Errorf("SIGSTOP: %w", err)
	}
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(time.Millisecond) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.pid()))
		if err != nil || len(threads) == 0 {
			return fmt.Errorf("no threads of %d: %w", d.pid(), err)
		}
		if !slices.ContainsFunc(threads, runs) {
			return nil
		}
	}
	return errors.New("it doesn't stop")
}

func runs(stat string) bool {
	text, _ := os.ReadFile(stat)
	_, state, ok := strings.Cut(string(text), ") ") // proc(5)
	return ok && !strings.HasPrefix(state, "T") && !strings.HasPrefix(state, "D")
}

// fill takes all that is free.
func fill(path string) (n int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		wrote, err := f.Write(make([]byte, size))
		n += int64(wrote)
		switch {
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case err != nil:
			return n, err
		}
	}
	return n, nil
}
