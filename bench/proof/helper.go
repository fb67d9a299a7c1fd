package proof

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// RunHelper is the other processes that chaos needs: args is what stands behind the word of
// ChaosOptions.Self on their command line.
func RunHelper(args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) > 4 && args[0] == "mounted":
		return runMounted(args[1], args[2], args[3], args[4:])
	case len(args) > 2 && args[0] == "within":
		runtime.LockOSThread()
		here, err := os.Getwd()
		if err := errors.Join(err, enterMounts(args[1]), os.Chdir(here)); err != nil { // it stood in the root
			return err
		}
		return become(args[2:])
	case len(args) > 2 && args[0] == "on-network":
		runtime.LockOSThread()
		if err := enterNetwork(args[1]); err != nil {
			return err
		}
		return become(args[2:])
	case len(args) == 2 && args[0] == "locker":
		return holdLock(args[1], in, out)
	}
	return fmt.Errorf("%q is no task of a helper", args)
}

// mountFailed is the exit code of a helper that may not mount.
const mountFailed = 3

// runMounted becomes the program, with a tmpfs or the ext4 of a device over the folder. It was started in a
// mount namespace that goes with it.
func runMounted(folder, source, options string, program []string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	kind := "ext4"
	if source == "tmpfs" {
		kind = source
	}
	if err := unix.Mount(source, folder, kind, 0, options); err != nil {
		fmt.Fprintf(os.Stderr, "mounting %s on %s: %v\n", source, folder, err)
		os.Exit(mountFailed)
	}
	return become(program)
}

func become(program []string) error {
	path, err := exec.LookPath(program[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, program, os.Environ()) //nolint:gosec // what the user asked for
}

// ownMounts has a command start in a mount namespace: root's own, anybody else's within a user
// namespace where he counts as root.
func ownMounts(a *syscall.SysProcAttr) {
	if os.Geteuid() == 0 {
		a.Unshareflags = syscall.CLONE_NEWNS
		return
	}
	a.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}

// holdLock keeps everybody from writing to a SQLite file until its input ends.
func holdLock(file string, in io.Reader, out io.Writer) error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+file+"?_busy_timeout=10000")
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return fmt.Errorf("locking %s: %w", file, err)
	}
	fmt.Fprintln(out, "locked")
	_, err = io.Copy(io.Discard, in)
	_, rolled := conn.ExecContext(ctx, "ROLLBACK")
	return errors.Join(err, rolled)
}
