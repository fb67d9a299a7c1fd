package loadgen

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
)

// What a worker is told, one JSON object a line. It answers each with a reply.
const (
	tellConnect = "connect" // connect clients
	TellRun     = "run"     // messages are as Sizes says; record latencies from the message From on
	tellFinish  = "finish"  // all messages below End were published: report
	TellStall   = "stall"   // those clients stop reading that are meant to
	TellChurn   = "churn"   // Rate clients a second come and leave, of all workers
	TellCalm    = "calm"    // nobody comes or leaves any more
	TellReturn  = "return"  // the server has ended: Rate clients a second, of all workers, come to the next one
	TellResume  = "resume"  // clients that stopped read what there is, up to the message End

	TellSubscribe = "subscribe" // every client subscribes to its rows of the plan Rows
	TellRows      = "rows"      // messages to rows are coming
	TellDirect    = "direct"    // messages to some clients are coming
	TellBroadcast = "broadcast" // messages to everyone are coming, as without rows

	TellReady = "ready" // what is measured begins anew; senders of other workers may be first
	TellSend  = "send"  // send for a while, as Relay says
	TellQuiet = "quiet" // send no more
	TellLeave = "leave" // end some connections
)

// Instruction is what workers are told. Those with a share of it take theirs.
type Instruction struct {
	ID      uint64      `json:"id"`
	Tell    string      `json:"tell"`
	Connect connectPlan `json:"connect,omitzero"`
	Sizes   Mixture     `json:"sizes,omitempty"`
	From    uint64      `json:"from,omitempty"`
	End     uint64      `json:"end,omitempty"`
	Rate    float64     `json:"rate,omitempty"`
	Rows    *RowPlan    `json:"rows,omitempty"`
	Pending int         `json:"pending,omitempty"` // subscriptions of one worker that may be unanswered
	Relay   *RelayOrder `json:"relay,omitempty"`
}

type reply struct {
	ID        uint64 `json:"id"` // of the instruction
	Error     string `json:"error,omitempty"`
	Connected int    `json:"connected"`
	Failed    int    `json:"failed"`
	Report    Report `json:"report"`
}

// These mark a number in the progress pipe as clients connected, and as deliveries that
// all of the worker's clients together have had in runs that count them; others are
// messages that every client of the worker has.
const (
	progressConnected = 1 << 63
	progressCounted   = 1 << 62
)

// catchUp bounds the wait for clients that others needn't wait for.
const catchUp = 2 * time.Second

// Settle is how long clients are listened to after the last message, for one that comes
// twice.
const Settle = 50 * time.Millisecond

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
	if _, err := runner.RaiseDescriptors(); err != nil {
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
	instructions := make(chan Instruction, 1) // whoever tells waits for the answer
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
func (w *worker) listen(in io.Reader, instructions chan<- Instruction) {
	defer w.swarm.interrupt()
	defer close(instructions)
	decoder := json.NewDecoder(in)
	for {
		var i Instruction
		if decoder.Decode(&i) != nil {
			return
		}
		instructions <- i
		w.swarm.interrupt()
	}
}

func (w *worker) do(i Instruction) (r reply) {
	s := w.swarm
	var err error
	switch i.Tell {
	case tellConnect:
		err = s.connect(i.Connect, func(n int) { _ = w.write(progressConnected | uint64(n)) })
	case TellRun:
		s.sizes, s.recordFrom = i.Sizes, i.From
	case tellFinish:
		r.Report, err = s.finish(i.End)
	case TellStall:
		err = s.stall()
	case TellChurn:
		s.churn(i.Rate)
	case TellCalm:
		err = s.calm()
	case TellReturn:
		err = s.comeBack(i.Rate, func() { _ = w.tellDone() })
	case TellResume:
		err = s.resume(i.End)
	case TellSubscribe:
		err = s.subscribe(i.Rows, i.Pending, func() { _ = w.tellDone() })
	case TellRows, TellDirect, TellBroadcast:
		s.rows.phase = i.Tell
		s.latency.Reset()
	case TellReady:
		err = s.readyToSend(i.Relay)
	case TellSend:
		err = s.startSending(i.Relay)
	case TellQuiet:
		s.relays.planned = s.relays.sent
	case TellLeave:
		err = s.leaveAtOnce(i.Relay)
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

// finish counts what hasn't come of the messages below end as lost, and closes the books.
func (s *swarm) finish(end uint64) (Report, error) {
	began := Now()
	for Now()-began < int64(Settle) || s.behind(end) && Now()-began < int64(catchUp) {
		if err := s.poll(int(Settle / time.Millisecond)); err != nil {
			return Report{}, err
		}
	}
	r, second := s.report, s.upgrades
	switch {
	case s.rows.wants():
		s.rows.lack(end, &r)
	case s.relays != nil:
		second = s.relays.late
		s.relays.report(s.members, &r)
	default:
		for i := range s.members {
			s.lack(&s.members[i], end, &r)
		}
	}
	var err error
	if r.Latency, err = s.latency.EncodeV2(); err == nil {
		r.Upgrades, err = second.EncodeV2()
	}
	if err != nil {
		return Report{}, fmt.Errorf("encoding latencies: %w", err)
	}
	return r, nil
}
