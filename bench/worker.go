package bench

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// What a worker is told, one JSON object a line. It answers each with a reply.
const (
	tellConnect = "connect" // connect clients
	tellRun     = "run"     // messages are as Sizes says; record latencies from the message From on
	tellFinish  = "finish"  // all messages below End were published: report
	tellStall   = "stall"   // who shall stop reading does
	tellChurn   = "churn"   // so many clients a second come and leave
	tellCalm    = "calm"    // nobody comes or leaves any more
	tellResume  = "resume"  // who has stopped reading reads what there is, up to the message End

	tellRows     = "rows"     // what Rows says
	tellPresence = "presence" // what Presence says
)

type instruction struct {
	ID      uint64      `json:"id"`
	Tell    string      `json:"tell"`
	Connect connectPlan `json:"connect,omitzero"`
	Sizes   Mixture     `json:"sizes,omitempty"`
	From    uint64      `json:"from,omitempty"`
	End     uint64      `json:"end,omitempty"`
	Churn   float64     `json:"churn,omitempty"`

	Rows     *rowOrder      `json:"rows,omitempty"`
	Presence *presenceOrder `json:"presence,omitempty"`
}

type reply struct {
	ID        uint64 `json:"id"` // of the instruction
	Error     string `json:"error,omitempty"`
	Connected int    `json:"connected"`
	Failed    int    `json:"failed"`
	Report    Report `json:"report"`
}

// These mark a number in the progress pipe as clients connected, and as deliveries that
// all of the worker's clients together have had in scenarios that count them; others are
// messages that every client of the worker has.
const (
	progressConnected = 1 << 63
	progressCounted   = 1 << 62
)

// catchUp bounds the wait for clients that others needn't wait for.
const catchUp = 2 * time.Second

// settle is how long clients are listened to after the last message, for one that comes
// twice.
const settle = 50 * time.Millisecond

// worker is the process that holds clients. Owned by the goroutine that runs it.
type worker struct {
	swarm    *swarm
	progress io.Writer
	told     uint64 // progress as last written
	counted  uint64 // the same, of deliveries
	buffer   [8]byte
}

// RunWorker is the main function of a worker process: it does what it is told on in,
// answers on out and reports progress, 8 bytes each time, on descriptor 3. It returns
// when in ends.
func RunWorker(in io.Reader, out io.Writer) error {
	progress := os.NewFile(3, "progress")
	if progress == nil {
		return fmt.Errorf("a worker is started by the bench, with a pipe as descriptor 3")
	}
	defer progress.Close()
	if _, err := raiseDescriptors(); err != nil {
		return err
	}
	s, err := newSwarm()
	if err != nil {
		return err
	}
	defer s.close()
	w := &worker{swarm: s, progress: progress}
	return w.run(in, json.NewEncoder(out))
}

func (w *worker) run(in io.Reader, out *json.Encoder) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	instructions := make(chan instruction, 1) // whoever tells waits for the answer
	go w.listen(in, instructions)
	for {
		if err := w.swarm.poll(w.swarm.turnOver()); err != nil {
			return err
		}
		if err := w.swarm.relays.send(w.swarm); err != nil {
			return err
		}
		if err := w.tellDone(); err != nil {
			return err
		}
		select {
		case i, ok := <-instructions:
			if !ok {
				return nil
			}
			if err := out.Encode(w.do(i)); err != nil {
				return fmt.Errorf("answering: %w", err)
			}
		default:
		}
	}
}

// listen hands instructions to the loop, which looks for them when it is woken.
func (w *worker) listen(in io.Reader, instructions chan<- instruction) {
	defer w.swarm.interrupt()
	defer close(instructions)
	decoder := json.NewDecoder(in)
	for {
		var i instruction
		if decoder.Decode(&i) != nil {
			return
		}
		instructions <- i
		w.swarm.interrupt()
	}
}

func (w *worker) do(i instruction) (r reply) {
	s := w.swarm
	var err error
	switch i.Tell {
	case tellConnect:
		err = s.connect(i.Connect, func(n int) { _ = w.write(progressConnected | uint64(n)) })
	case tellRun:
		s.sizes, s.recordFrom = i.Sizes, i.From
	case tellFinish:
		r.Report, err = w.finish(i.End)
	case tellStall:
		err = s.stall()
	case tellChurn:
		s.churn(i.Churn)
	case tellCalm:
		err = s.calm()
	case tellResume:
		err = s.resume(i.End)
	case tellRows:
		r.Report, err = s.obeyRows(i.Rows, func() { _ = w.tellDone() })
	case tellPresence:
		r.Report, err = s.obeyPresence(i.Presence)
	default:
		err = fmt.Errorf("%q isn't an instruction", i.Tell)
	}
	if err != nil {
		r.Error = err.Error()
	}
	if r.Error == "" && s.failed > 0 {
		r.Error = s.report.Error
	}
	r.ID, r.Connected, r.Failed = i.ID, s.connected, s.failed
	return r
}

// tellDone says how far all clients are, when that has changed. It costs a system call
// for a message at most, and less when several have come together.
func (w *worker) tellDone() error {
	if n := w.swarm.counted; n != w.counted {
		w.counted = n
		if err := w.write(progressCounted | n); err != nil {
			return err
		}
	}
	if w.swarm.tally.low == w.told {
		return nil
	}
	w.told = w.swarm.tally.low
	return w.write(w.told)
}

func (w *worker) write(n uint64) error {
	binary.NativeEndian.PutUint64(w.buffer[:], n)
	if _, err := w.progress.Write(w.buffer[:]); err != nil {
		return fmt.Errorf("telling progress: %w", err)
	}
	return nil
}

// finish counts what hasn't come as lost and closes the books.
func (w *worker) finish(end uint64) (Report, error) {
	s := w.swarm
	began := now()
	for now()-began < int64(settle) || s.behind(end) && now()-began < int64(catchUp) {
		if err := s.poll(int(settle / time.Millisecond)); err != nil {
			return Report{}, err
		}
	}
	r := s.report
	for i := range s.members {
		s.lack(&s.members[i], end, &r)
	}
	var err error
	if r.Latency, err = s.latency.EncodeV2(); err == nil {
		r.Upgrades, err = s.upgrades.EncodeV2()
	}
	if err != nil {
		return Report{}, fmt.Errorf("encoding latencies: %w", err)
	}
	return r, nil
}
