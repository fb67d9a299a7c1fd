package loadgen

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"

	"github.com/busbar-ws/busbar/bench/runner"
)

// workerProcess is the bench's end of a worker. One goroutine at a time tells it things;
// its progress may be read by any.
type workerProcess struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	replies chan reply // closed when the worker has ended
	errors  *runner.Tail
	reading sync.WaitGroup

	done, connected, counted atomic.Uint64
	ended                    atomic.Bool // there will be no more progress
}

// errWorker: a worker process ended by itself.
var errWorker = errors.New("a worker ended")

// startWorker starts a worker on some cores and in a namespace. changed is sent to, without waiting, when
// there is progress, and when the worker ends.
func startWorker(command []string, cores []int, apart *runner.Namespace, changed chan<- struct{}) (*workerProcess, error) {
	w := &workerProcess{replies: make(chan reply, 1), errors: &runner.Tail{}}
	w.cmd = exec.Command(command[0], command[1:]...) //nolint:gosec // our own program
	w.cmd.Stderr = w.errors
	w.cmd.SysProcAttr = runner.OwnGroup()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer writer.Close()
	w.cmd.ExtraFiles = []*os.File{writer}
	stdout, err := w.cmd.StdoutPipe()
	if err == nil {
		w.stdin, err = w.cmd.StdinPipe()
	}
	if err == nil {
		err = apart.Start(cores, w.cmd)
	}
	if err != nil {
		_ = reader.Close()
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	w.reading.Go(func() { w.readReplies(stdout) })
	w.reading.Go(func() { w.readProgress(reader, changed) })
	return w, nil
}

func (w *workerProcess) readReplies(stdout io.Reader) {
	defer close(w.replies)
	decoder := json.NewDecoder(stdout)
	for {
		var r reply
		if decoder.Decode(&r) != nil {
			return
		}
		w.replies <- r
	}
}

func (w *workerProcess) readProgress(pipe io.ReadCloser, changed chan<- struct{}) {
	defer pipe.Close()
	var b [8]byte
	for {
		_, err := io.ReadFull(pipe, b[:])
		if n := binary.NativeEndian.Uint64(b[:]); err == nil && n&progressConnected != 0 {
			w.connected.Store(n &^ progressConnected)
		} else if err == nil && n&progressCounted != 0 {
			w.counted.Store(n &^ progressCounted)
		} else if err == nil {
			w.done.Store(n)
		}
		if err != nil {
			w.ended.Store(true)
		}
		select {
		case changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (w *workerProcess) tell(i Instruction) error {
	if err := json.NewEncoder(w.stdin).Encode(i); err != nil {
		return w.failure(err)
	}
	return nil
}

func (w *workerProcess) failure(err error) error {
	return fmt.Errorf("%w: %w%s", errWorker, err, w.errors.Suffix())
}

// close ends the worker at once: nothing of it is needed any more.
func (w *workerProcess) close() {
	_ = w.stdin.Close()
	_ = w.cmd.Process.Kill()
	go func() {
		for range w.replies { //nolint:revive // lets readReplies come to its end
		}
	}()
	w.reading.Wait()
	_ = w.cmd.Wait()
}
