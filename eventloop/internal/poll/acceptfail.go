package poll

import (
	"errors"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"golang.org/x/sys/unix"
)

// acceptFailed takes the place of gnet's ErrAcceptSocket. gnet ends its engine, and every
// connection with it, when accept fails with anything but EAGAIN, EINTR, ECONNRESET and
// ECONNABORTED (v2.9.8, eventloop.accept): with EMFILE, ENFILE, ENOBUFS and ENOMEM, which
// pass, and with whatever befell the one connection that was to be accepted, which Linux
// reports here too (accept(2)). Its poller knows such a failure by
// errors.Is(err, ErrAcceptSocket); that is a variable, and errors.Is never finds an error of
// a type that can't be compared. So the poller goes on, as it does after all other errors.
//
// Other engines of gnet's in the same process survive failing accepts too, then.
type acceptFailed []struct{}

func (acceptFailed) Error() string { return "accepting a connection failed" }

// In init, because loops read the variable without a lock.
func init() { gneterrors.ErrAcceptSocket = acceptFailed{} }

// AcceptFailure is the line that gnet logs, on the loop, when accept has failed; its
// argument is the error. Nothing else tells of it.
const AcceptFailure = "Accept() failed due to error: %v"

// OutOfDescriptors is whether the next accept would fail as this one has.
func OutOfDescriptors(err error) bool {
	for _, lasting := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
}

// SpareDescriptor is whether the process gets a descriptor and the kernel memory of one.
func SpareDescriptor() bool {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}
