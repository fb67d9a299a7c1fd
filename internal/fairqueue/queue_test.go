package fairqueue

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func noPanic(r any) { panic(r) }

func newQueue(t *testing.T, running int) *Queue {
	q := New(Limits{Running: running, Waiting: 1000, Bytes: 1 << 20}, noPanic)
	t.Cleanup(func() { q.Close(context.Background()) })
	return q
}

// blocked occupies the queue's only place until free is called, or its context ends.
func blocked(t *testing.T, q *Queue) (task *Task, free func()) {
	t.Helper()
	let, began := make(chan struct{}), make(chan struct{})
	task, err := q.Go(Owner{}, 1, func(ctx context.Context) {
		close(began)
		select {
		case <-let:
		case <-ctx.Done():
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-began
	return task, sync.OnceFunc(func() { close(let) })
}

func TestTasksOfAllTakeTurns(t *testing.T) {
	q := newQueue(t, 1)
	_, free := blocked(t, q)
	order := make(chan string, 100)
	for _, name := range []string{"a", "a", "a", "b", "c", "b"} {
		if _, err := q.Go(Owner{User: name}, 1, func(context.Context) { order <- name }); err != nil {
			t.Fatal(err)
		}
	}
	free()
	got := ""
	for range 6 {
		got += <-order
	}
	if got != "abcaba" {
		t.Errorf("order %q", got)
	}
}

func TestCancelledTasks(t *testing.T) {
	q := newQueue(t, 1)
	running, _ := blocked(t, q)
	waiting, err := q.Go(Owner{}, 7, func(context.Context) { t.Error("it ran") })
	if err != nil {
		t.Fatal(err)
	}
	if s := q.Stats(); s.Running != 1 || s.Waiting != 1 || s.Bytes != 7 {
		t.Errorf("%+v", s)
	}
	if !waiting.Cancel() || waiting.Cancel() {
		t.Error("a task that waits is cancelled once")
	}
	if running.Cancel() {
		t.Error("a task that runs doesn't wait")
	}
	if err := q.Do(t.Context(), Owner{}, 1, func(context.Context) {}); err != nil { // behind it
		t.Fatal(err)
	}
	running.Cancel()
	(*Task)(nil).Cancel()
	if s := q.Stats(); s != (Stats{}) {
		t.Errorf("left: %+v", s)
	}
}

func TestDoEndsWithItsContext(t *testing.T) {
	q := newQueue(t, 1)
	_, free := blocked(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- q.Do(ctx, Owner{}, 1, func(context.Context) { t.Error("it ran") }) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	free()
	ctx, cancel = context.WithCancel(t.Context())
	err := q.Do(ctx, Owner{}, 1, func(ctx context.Context) {
		cancel()
		<-ctx.Done()
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAPanicCostsOneTask(t *testing.T) {
	told := make(chan any, 1)
	q := New(Limits{Running: 1, Waiting: 10, Bytes: 10}, func(r any) { told <- r })
	defer q.Close(t.Context())
	if err := q.Do(t.Context(), Owner{}, 1, func(context.Context) { panic("oh") }); err != nil {
		t.Error(err)
	}
	if r := <-told; r != "oh" {
		t.Error(r)
	}
	if err := q.Do(t.Context(), Owner{}, 1, func(context.Context) {}); err != nil {
		t.Error(err)
	}
}

func TestClosedQueue(t *testing.T) {
	q := New(Limits{Running: 1, Waiting: 10, Bytes: 10}, noPanic)
	blocked(t, q)
	waiting := make(chan error)
	go func() { waiting <- q.Do(t.Context(), Owner{}, 1, func(context.Context) { t.Error("it ran") }) }()
	wstest.Eventually(t, "it waits", func() bool { return q.Stats().Waiting > 0 })
	q.Close(t.Context())
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := q.Go(Owner{}, 1, func(context.Context) { t.Error("it ran") }); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Many at once: no more run than may, everyone is served, and nothing stays.
func TestManyAtOnce(t *testing.T) {
	const most = 8
	q := New(Limits{Running: most, Waiting: 100_000, Bytes: 1 << 30}, noPanic)
	defer q.Close(t.Context())
	var running, ran, cancelled, wanted atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			owner := Owner{User: fmt.Sprint(i % 7), Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i % 5)})}
			for n := range 200 {
				wanted.Add(1)
				task, err := q.Go(owner, 10, func(context.Context) {
					if running.Add(1) > most {
						t.Error("too many run")
					}
					ran.Add(1)
					running.Add(-1)
				})
				if err != nil {
					t.Error(err)
				} else if n%3 == 0 && task.Cancel() {
					cancelled.Add(1)
				}
			}
		})
	}
	all.Wait()
	wstest.Eventually(t, "all are over", func() bool { return q.Stats().Running+q.Stats().Waiting == 0 })
	if ran.Load()+cancelled.Load() != wanted.Load() {
		t.Errorf("%d ran and %d were cancelled of %d", ran.Load(), cancelled.Load(), wanted.Load())
	}
}
