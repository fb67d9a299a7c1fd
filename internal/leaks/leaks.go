// Package leaks fails a package's tests when they leave goroutines or descriptors behind, and
// says where they came from. Tests alone import it.
package leaks

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests and ends the process. Options say what else than what was there before
// may be there after them.
func Main(m *testing.M, options ...goleak.Option) { MainThen(m, func() {}, options...) }

// MainThen is Main with something to be done when the tests are over.
func MainThen(m *testing.M, then func(), options ...goleak.Option) {
	before := Descriptors()
	options = append(options, goleak.IgnoreCurrent())
	code := m.Run()
	if code == 0 {
		if err := Goroutines(options...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	then()
	if code == 0 {
		if left := before.Left(patience); len(left) > 0 {
			fmt.Fprintln(os.Stderr, "descriptors left open:", strings.Join(left, ", "))
			code = 1
		}
	}
	os.Exit(code)
}

// Goroutines is an error that names those that are left, when they stay so for as long as
// patience. goleak itself waits for half a second, which a busy machine may take.
func Goroutines(options ...goleak.Option) (err error) {
	for late := time.Now().Add(patience); ; {
		if err = goleak.Find(options...); err == nil || time.Now().After(late) {
			return err
		}
	}
}

// IdleWorkers lets gnet's workers be there: they wait ten seconds for more to do.
var IdleWorkers = goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*goWorker).run.func1")

// patience is for what ends in the background.
const patience = 20 * time.Second

// Open is what a process has open, by descriptor.
type Open map[string]string

// Descriptors are what this process has open now. The runtime's own, which it opens when it
// first needs them and keeps, are among them.
func Descriptors() Open {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil { // the runtime's epoll set
		l.Close()
	}
	return read()
}

func read() Open {
	o := Open{}
	list, _ := os.ReadDir("/proc/self/fd")
	for _, f := range list {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
			o[f.Name()] = to
		}
	}
	return o
}

// Left is what is open now and wasn't then, when it stays so for as long as within.
func (o Open) Left(within time.Duration) []string {
	for late := time.Now().Add(within); ; <-time.After(10 * time.Millisecond) {
		now := read()
		maps.DeleteFunc(now, func(fd, to string) bool { return o[fd] == to })
		if len(now) == 0 {
			return nil
		}
		if time.Now().After(late) {
			var left []string
			for _, fd := range slices.Sorted(maps.Keys(now)) {
				left = append(left, fd+": "+now[fd])
			}
			return left
		}
	}
}
