package dns

import (
	"context"
	"sync"
)

// flights lets those who ask the same question at the same time share one
// look-up. A look-up belongs to those who wait for it: it ends when it has its
// answer, or when the last of them has left.
type flights struct {
	mu   sync.Mutex
	open map[question]*flight
}

type flight struct {
	waiting int // guarded by flights.mu
	cancel  context.CancelFunc
	done    chan struct{} // closed when answer and err are set
	answer  answer
	err     error
}

// do runs look for q, or waits for the run that is under way. The context that
// look gets outlives that of any single caller.
func (f *flights) do(ctx context.Context, q question, look func(context.Context) (answer, error)) (answer, error) {
	fl := f.join(ctx, q, look)
	select {
	case <-fl.done:
		return fl.answer, fl.err
	case <-ctx.Done():
		f.leave(q, fl)
		return answer{}, ctx.Err()
	}
}

func (f *flights) join(ctx context.Context, q question, look func(context.Context) (answer, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.open[q]; ok {
		fl.waiting++
		return fl
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fl := &flight{waiting: 1, cancel: cancel, done: make(chan struct{})}
	if f.open == nil {
		f.open = make(map[question]*flight)
	}
	f.open[q] = fl
	go func() {
		defer cancel()
		fl.answer, fl.err = look(own)
		f.forget(q, fl)
		close(fl.done)
	}()
	return fl
}

// leave takes a caller out; the look-up is ended with the last one, and nobody
// can join it any more.
func (f *flights) leave(q question, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.waiting--
	if fl.waiting > 0 {
		return
	}
	if f.open[q] == fl {
		delete(f.open, q)
	}
	fl.cancel()
}

func (f *flights) forget(q question, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[q] == fl {
		delete(f.open, q)
	}
}
