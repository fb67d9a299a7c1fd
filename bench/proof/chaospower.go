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
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// power cuts the power of the data directory's disk under load: what nobody had synced is gone. Then the
// server is killed, and starts again on what is left.
func (o *ChaosOptions) power(ctx context.Context, r *Record) error {
	disk, err := newDisk(ctx)
	if err != nil {
		return err
	}
	defer disk.close()
	prepare := func(d *daemon, b *Book) {
		o.mountedFrom(d, disk.device.Name(), "")
		durableStreams(d, b)
	}
	return o.onStage(ctx, prepare, func(ctx context.Context, s *stage) error {
		return o.crashes(ctx, s, r, max(1, o.Rounds/5), "power cut", func() error { return disk.cut(s.daemon) })
	})
}

// errNoDisk is no failure of who didn't ask for the scenario by name: many machines have no such thing.
var errNoDisk = fmt.Errorf("%w: it needs root, mke2fs, a loop device and an ext4 that can be shut down", errAbsent)

// disk is an ext4 in a file, behind a loop device.
type disk struct {
	folder string
	device *os.File // it goes when the last has closed it
}

func newDisk(ctx context.Context) (d *disk, err error) {
	d = &disk{}
	if d.folder, err = os.MkdirTemp("", "busbar-disk"); err != nil {
		return nil, err
	}
	if d.device, err = makeDisk(ctx, filepath.Join(d.folder, "image")); err != nil {
		d.close()
		return nil, fmt.Errorf("%w: %w", errNoDisk, err)
	}
	return d, nil
}

func (d *disk) close() {
	if d.device != nil {
		d.device.Close()
	}
	os.RemoveAll(d.folder)
}

func makeDisk(ctx context.Context, path string) (*os.File, error) {
	image, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	if err := image.Truncate(1 << 30); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", path).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mke2fs: %w %s", err, out)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for { // somebody else may be faster
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("finding a loop device: %w", err)
		}
		device, err := os.OpenFile("/dev/loop"+strconv.Itoa(n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		c := unix.LoopConfig{Fd: uint32(image.Fd())} //nolint:gosec // a descriptor
		c.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		if err = unix.IoctlLoopConfigure(int(device.Fd()), &c); err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("setting up %s: %w", device.Name(), err)
		}
	}
}

// Not in x/sys/unix: fs/ext4/ext4.h, whose flag 2 has the journal not written out.
const (
	ext4Shutdown   = 0x8004587d
	withoutFlush   = 2
	canary         = "nobody has synced this"
	canaryFileName = "canary"
)

// cut is over when the process has ended, and nobody has the disk mounted any more. It is stopped first, as
// a power cut would stop it: an fsync that an ext4 is shut down in may return 0 with nothing synced (Linux
// 6.18, 2 times of 25 with one writer), which a process without power couldn't tell anybody.
func (d *disk) cut(p *daemon) error {
	if err := p.freeze(); err != nil {
		return err
	}
	path := p.path(canaryFileName)
	if err := os.WriteFile(path, []byte(canary), 0o600); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, withoutFlush)
	f.Close()
	if err != nil {
		return fmt.Errorf("%w: shutting it down: %w", errNoDisk, err)
	}
	p.kill()
	return d.lost()
}

// freeze is over when no thread of the process will run any more, unless it is in a system call.
func (d *daemon) freeze() error {
	if err := d.cmd.Process.Signal(unix.SIGSTOP); err != nil {
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

// lost waits until the disk isn't mounted, and fails when it has what it can't have.
func (d *disk) lost() error {
	for late := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		fd, err := unix.Open(d.device.Name(), unix.O_RDONLY|unix.O_EXCL, 0)
		if err == nil {
			_ = unix.Close(fd)
			break
		}
		if time.Now().After(late) {
			return fmt.Errorf("the disk is mounted yet: %w", err)
		}
	}
	folder := filepath.Join(d.folder, "look")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := unix.Mount(d.device.Name(), folder, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mounting after the power cut: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(folder, canaryFileName))
	if e := unix.Unmount(folder, 0); e != nil {
		return fmt.Errorf("unmounting: %w", e)
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case strings.Contains(string(text), canary):
		return errors.New("what nobody had synced is there: the power wasn't cut")
	}
	return nil
}
