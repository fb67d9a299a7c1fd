package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"
)

// soak is one daemon and its clients. Its counts and wrongs are safe from any goroutine.
type soak struct {
	*stage
	disconnects bool // who stops reading
	began       time.Time

	mu  sync.Mutex
	cut context.CancelFunc // ends everything at once
}

// Soak runs a daemon for each policy, side by side. The error is about what kept one from running; what it found is in
// the result.
func Soak(ctx context.Context, o Options) (*Result, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &Result{Runs: make([]*Run, len(o.Policies))}
	var g errgroup.Group
	for i, policy := range o.Policies {
		one := o
		if i > 0 { // the first one's progress is that of all
			one.Progress = func(string, int64, int64) {}
		}
		g.Go(func() (err error) {
			r.Runs[i], err = one.soak(ctx, policy)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return r.verdict(), nil
}

// What of the state that a daemon is meant to keep it may keep in a soak. All of it belongs to
// the memory that needn't be given back at the end.
const (
	soakLogEvents, soakLogBytes = 2000, 4 << 20
	soakRowBytes                = 16 << 20
	// soakLagBytes is more than healthy clients lag behind on a busy machine: some messages of 1 MiB.
	soakLagBytes = 3 << 20
)

// soak is one daemon's. Daemons that drop the oldest route by subscription, the others send
// all to all, so that both are soaked.
func (o *Options) soak(ctx context.Context, policy string) (*Run, error) {
	routed := policy == "drop-oldest"
	run := &Run{Name: "-slow " + policy, What: "all to all", Counts: map[string]int{}}
	args := []string{
		"-max-per-ip", "10000", "-slow", policy, "-lag-bytes", fmt.Sprint(soakLagBytes), "-send-buffer", "256KiB",
		"-log-events", fmt.Sprint(soakLogEvents), "-log-tail", fmt.Sprint(soakLogBytes), "-rows-bytes", fmt.Sprint(soakRowBytes),
	}
	if routed {
		run.What, args = "topics and changes to subscribers", append(args, "-routing", "subscribed")
	}
	b := newBook(routed)
	b.add(changes, "e", 4)
	b.add(topics, "t", 4)
	b.add(rows, "x", 8)
	b.add(presence, "p", 1)
	b.add(broadcasts, "b", 1)
	b.add(relays, "r", o.Clients)
	stage, err := o.newStage(ctx, run, layout{nodes: 1}, b, args...)
	if err != nil {
		return nil, err
	}
	defer stage.close()
	s := &soak{stage: stage, disconnects: policy == "disconnect", began: time.Now(), cut: func() {}}
	if err := s.play(ctx); err != nil {
		return nil, err
	}
	run.Seconds = time.Since(s.began).Seconds()
	run.wrong(s.nodes[0].stop())
	return run, nil
}

// play is the whole soak: everything is used once, looked at, churned, and looked at again when
// the last client has left.
func (s *soak) play(ctx context.Context) (err error) {
	for i := range s.o.Clients + max(1, s.o.Clients/3) + max(1, s.o.Clients/10) + s.o.Storm {
		c, err := s.newClient(ctx, fmt.Sprint("client", i), i)
		if err != nil {
			return err
		}
		s.clients = append(s.clients, c)
	}
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	start, _, err := s.level(ctx, nil)
	if err != nil {
		return err
	}
	var hard context.Context
	hard, s.cut = context.WithCancel(ctx)
	defer s.cut()
	soft, end := context.WithTimeout(hard, s.o.Duration)
	defer end()
	sampled := make(chan []Sample)
	go func() { sampled <- s.samples(soft) }()
	s.churn(soft, hard)
	end()
	s.run.Samples = <-sampled
	if ctx.Err() != nil {
		s.run.fact("interrupted: nobody looked at what is left")
		s.run.Figures = figuresOf(start, start, s.run.Samples)
		return nil
	}
	now, left, err := s.level(ctx, start)
	s.run.Figures = figuresOf(start, now, s.run.Samples)
	s.run.Wrongs = append(s.run.Wrongs, append(left, growing(s.run)...)...)
	s.run.fact("%.0f connections accepted, %.0f messages delivered", now["accepted"], now["delivered"])
	if len(s.run.Wrongs) == 0 {
		s.run.fact("every client that read got each message once and in order; all is back at the start")
	}
	return err
}

// warmUp has everything happen once: sessions exist, rows are stored, workers and connections
// to the database are there.
func (s *soak) warmUp(ctx context.Context) error {
	for _, size := range []int{1 << 20, 100} {
		s.size = func(*stream, uint64) int { return size }
		for _, st := range s.book.of(everything...) {
			if err := s.publish(ctx, &publisher{stream: st}); err != nil {
				return err
			}
		}
	}
	s.size = func(*stream, uint64) int { return soakSize(rand.IntN(100)) } //nolint:gosec // any will do
	s.storm(ctx)
	if len(s.run.Wrongs) > 0 {
		return errors.New(s.run.Wrongs[0])
	}
	return nil
}

// soakSize is of a message in bytes: most are small, one in a hundred is 1 MiB.
func soakSize(of100 int) int {
	for _, s := range []struct{ bytes, weight int }{{120, 30}, {1 << 10, 18}, {12 << 10, 8}, {100 << 10, 3}, {1 << 20, 1}} {
		if of100 -= s.weight; of100 < 0 {
			return s.bytes
		}
	}
	return 10
}

// churn is over when every client has come to its end: in an orderly way when soft ends, at once when hard does.
func (s *soak) churn(soft, hard context.Context) {
	var wg sync.WaitGroup
	steady := s.o.Clients + max(1, s.o.Clients/3)
	for i, c := range s.clients[:len(s.clients)-s.o.Storm] {
		live := s.stalling
		if i < steady {
			live = func(soft, hard context.Context, c *client) error { return s.reading(soft, hard, c, i >= s.o.Clients) }
		}
		wg.Go(func() {
			for soft.Err() == nil {
				err := live(soft, hard, c)
				s.blame(hard, c.name, err)
				rest := time.Second // it comes again, but not in a hurry
				if err == nil {
					rest = rand.N(rest) //nolint:gosec // any will do
				}
				pause(soft, rest)
			}
		})
	}
	stop := s.load(hard, s.o.Rate, func(st *stream, err error) { s.blame(hard, "publishing "+st.name, err) })
	wg.Go(func() {
		<-soft.Done()
		s.blame(hard, "publishing", stop())
	})
	wg.Go(func() {
		for s.o.Storm > 0 && pause(soft, min(30*time.Second, s.o.Duration/3)) {
			s.storm(hard)
		}
	})
	wg.Wait()
}

func (s *soak) count(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run.Counts[what] += n
}

// maxWrongs ends a run: what comes after so many has the same cause.
const maxWrongs = 20

// blame notes that something went wrong, unless it ended because the run was over.
func (s *soak) blame(ctx context.Context, who string, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.run.Wrongs) == maxWrongs {
		s.cut()
		return
	}
	s.run.Wrongs = append(s.run.Wrongs, fmt.Sprintf("at %v, %s: %v", time.Since(s.began).Round(10*time.Millisecond), who, err))
}

func (s *soak) connect(ctx context.Context, c *client, since uint64, buffer int) (*peer, error) {
	p, err := s.nodes[0].connect(ctx, caller{user: c.name, token: c.token, since: since, buffer: buffer}, s.book)
	if err == nil {
		s.count("connected", 1)
	}
	return p, err
}

// left notes what a client comes back with.
func (s *soak) left(c *client, p *peer) {
	p.with(func(a *account) {
		if !s.book.routed { // what is replayed would have what it hasn't subscribed to as well
			c.cursor = a.seq
		}
		s.count("resynced", a.resynced)
	})
}

// reading takes everything, and lacks nothing at the end. Who is steady stays all the time; others stay for some
// seconds, do what clients do, and leave in one of the ways there are.
func (s *soak) reading(soft, hard context.Context, c *client, steady bool) error {
	since := c.cursor
	if steady || c.random.IntN(2) == 0 {
		since = 0
	}
	p, err := s.connect(hard, c, since, 0)
	if err != nil {
		return err
	}
	defer p.gone()
	wanted := s.wanted()
	if !steady {
		c.random.Shuffle(len(wanted), func(i, j int) { wanted[i], wanted[j] = wanted[j], wanted[i] })
		wanted = wanted[:c.random.IntN(5)]
	}
	if err := p.subscribe(wanted...); err != nil {
		return err
	}
	if steady {
		select {
		case <-soft.Done():
		case <-p.ended:
			return p.whyEnded()
		}
	}
	for end := time.Now().Add(time.Duration(c.random.IntN(8000)) * time.Millisecond); !steady && time.Now().Before(end) && soft.Err() == nil; {
		pause(soft, time.Duration(c.random.IntN(1500))*time.Millisecond)
		if err := s.act(p, c); err != nil {
			return err
		}
	}
	if err := p.catchUp(); err != nil {
		return err
	}
	if steady {
		return p.leaveClean()
	}
	s.left(c, p)
	return s.part(hard, p, c)
}

// wanted are the streams that clients subscribe to.
func (s *soak) wanted() []*stream { return s.book.of(topics, changes, rows) }

// act does one thing of those that clients do.
func (s *soak) act(p *peer, c *client) error {
	switch c.random.IntN(4) {
	case 0:
		s.count("relayed", 1)
		return p.relay(c.relay, min(soakSize(c.random.IntN(100)), 40<<10))
	case 1:
		s.count("subscribed", 1)
		wanted := s.wanted()
		return p.subscribe(wanted[c.random.IntN(len(wanted))])
	case 2:
		var has []*stream
		p.with(func(a *account) { has = a.subscriptions() })
		if len(has) > 0 {
			s.count("unsubscribed", 1)
			return p.unsubscribe(has[c.random.IntN(len(has))])
		}
	}
	return p.settle()
}

// part ends a connection in one of the ways there are.
func (s *soak) part(ctx context.Context, p *peer, c *client) error {
	switch way := c.random.IntN(10); {
	case way < 4:
		s.count("left with Close", 1)
		return p.leaveClean()
	case way < 6:
		s.count("left with RST", 1)
		p.gone()
		return nil
	case way < 7:
		s.count("left by half-close", 1)
		return p.leaveHalf(nil)
	case way < 8:
		s.count("left within a frame", 1)
		return p.leaveHalf([]byte{0x81, 0x85, 1, 2, 3}) // a text frame of 5 bytes, as far as its mask
	}
	s.count("revoked", 1)
	err := s.nodes[0].revoke(ctx, c.token)
	if err == nil {
		err = p.closedWith(websocket.StatusPolicyViolation)
	}
	if err == nil {
		c.token, err = s.token(ctx, c.name)
	}
	return err
}

// smallBuffer is the receive buffer of who stalls: the server notices soon. With less than some
// segments of loopback (64 KiB each) a window opens by persist timers alone: 16 KiB took 3 MiB
// at less than 100 KiB a second.
const smallBuffer = 256 << 10

// stalling stops reading again and again.
func (s *soak) stalling(soft, hard context.Context, c *client) error {
	came := c.cursor // without one it can't be told of a loss, and is disconnected instead
	if s.book.routed {
		came = 1 << 53 // nothing is replayed
	}
	p, err := s.connect(hard, c, came, smallBuffer)
	if err != nil {
		return err
	}
	defer p.gone()
	p.with(func(a *account) { a.slow = true })
	err = p.subscribe(s.wanted()...)
	for err == nil && soft.Err() == nil {
		if err = p.settle(); err != nil { // heard of just now, it isn't pinged before it reads on
			break
		}
		p.stall()
		s.count("stalled", 1)
		pause(soft, time.Second+time.Duration(c.random.IntN(20000))*time.Millisecond)
		if c.random.IntN(4) == 0 {
			s.count("left while stalled", 1)
			return nil
		}
		p.resume()
		if err = p.catchUp(); err == nil {
			s.count("resumed", 1)
		}
	}
	s.left(c, p)
	if errors.Is(err, errEnded) && !errors.Is(err, errWronged) && (s.disconnects || came == 0) {
		s.count("disconnected for being slow", 1)
		return nil
	}
	return err
}

// storm has a crowd come at once, and go at once.
func (s *soak) storm(hard context.Context) {
	s.count("storms", 1)
	crowd := s.clients[len(s.clients)-s.o.Storm:]
	var there, wg sync.WaitGroup
	there.Add(len(crowd))
	for _, c := range crowd {
		wg.Go(func() {
			p, err := s.connect(hard, c, c.cursor, 0)
			if err == nil {
				defer p.gone()
				if err = p.settle(); err == nil {
					err = p.catchUp()
				}
			}
			s.blame(hard, c.name, err)
			there.Done()
			there.Wait()
			if p != nil {
				s.left(c, p)
			}
		})
	}
	wg.Wait()
}

// samples looks at the server all along.
func (s *soak) samples(ctx context.Context) (all []Sample) {
	for {
		sample, err := s.nodes[0].sample(context.WithoutCancel(ctx), s.began)
		if err == nil {
			all = append(all, sample)
		}
		s.blame(ctx, "a sample", err)
		s.o.Progress("soak", int64(time.Since(s.began)/time.Second), int64(s.o.Duration/time.Second))
		if !pause(ctx, min(5*time.Second, s.o.Duration/10)) {
			return all
		}
	}
}

// levels is how long all may take to be back at the start.
const levels = 2 * time.Minute

// level waits until nobody is there, and what was taken is given back. With a start it is over
// when all is back there, or when that has taken too long: then it says what isn't.
func (s *soak) level(ctx context.Context, start Sample) (now Sample, left []string, err error) {
	err = poll(ctx, levels, 100*time.Millisecond, func() (_ bool, err error) {
		s.nodes[0].http.CloseIdleConnections()
		now, err = s.nodes[0].sample(ctx, s.began)
		left = leftBehind(now, start)
		return len(left) == 0, err
	})
	if errors.Is(err, errLate) {
		err = nil
	}
	return now, left, err
}
