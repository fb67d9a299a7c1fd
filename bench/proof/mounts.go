package proof

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// diskSize is the data directory's: the change log's WAL alone grows to 4 MiB, and bodies of many changes are stored.
const diskSize = "32m"

// mounted has a daemon run with a small file system as its data directory, which it alone sees.
func (o *ChaosOptions) mounted(d *daemon, _ *Book) {
	o.mountedFrom(d, "tmpfs", "mode=0700,size="+diskSize)
}

func (o *ChaosOptions) mountedFrom(d *daemon, source, options string) {
	d.program = slices.Concat(o.Self, []string{"mounted", d.dir, source, options}, o.Program)
	d.mounts = true
}

// keepMounts has a daemon start again with the mounts that its process has now. They go with the file.
func (o *ChaosOptions) keepMounts(d *daemon) (*os.File, error) {
	ns, within, err := o.mountsOf(d.pid())
	if err == nil {
		d.program = slices.Concat(within, o.Program)
	}
	return ns, err
}

// mountsOf are a process's, and what has a program run there.
func (o *ChaosOptions) mountsOf(pid int) (ns *os.File, within []string, err error) {
	if ns, err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/mnt"); err != nil {
		return nil, nil, err
	}
	return ns, slices.Concat(o.Self, []string{"within", pathOf(ns)}), nil
}

// enterMounts has the thread stand in a mount namespace; it can't come back.
func enterMounts(path string) error {
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("entering a mount namespace: %w", err)
	}
	return nil
}

// inMounts calls f on a thread that stands in the process's mount namespace. The thread doesn't
// come back: it ends with its goroutine.
func inMounts(pid int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := enterMounts("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
		if err == nil {
			err = f()
		}
		done <- err
	}()
	err := <-done
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: %w; it needs root", errAbsent, err)
	}
	return err
}

// hideBehindReadOnly puts the folder itself over the folder, read-only: what is open can be
// written to, nothing can be opened for that or made.
func hideBehindReadOnly(folder string) error {
	if err := unix.Mount(folder, folder, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s: %w", folder, err)
	}
	if err := unix.Mount("", folder, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", folder, err)
	}
	return nil
}
