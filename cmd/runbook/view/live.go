package view

import (
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"runbook/engine"
	"runbook/engine/run"
)

// frame is how often the status is drawn at most.
const frame = 100 * time.Millisecond

// Live is Human on a terminal: under the lines of what is finished stands a
// status of what is being done, drawn again and again. The cursor stays visible
// and the terminal's modes stay as they are, so that nothing has to be put back
// when the process is killed.
type Live struct {
	*Human
	mu     sync.Mutex // of everything below, and of Human
	region region
	status status
	asking bool // a question stands on the screen
	now    func() time.Time
	stop   func() // ends the drawing; nil while nothing is drawn
	loop   func(over <-chan struct{})
}

// NewLive returns a view of a run on the terminal out. errToo says that h's err
// is that terminal as well.
func NewLive(h *Human, out *Output, errToo bool) *Live {
	size := func() (width, height int) {
		w, hgt, err := term.GetSize(int(out.Fd()))
		if err != nil || w < 1 || hgt < 1 {
			return 80, 24
		}
		return w, hgt
	}
	l := newLive(h, size, errToo, time.Now)
	l.loop = l.keepDrawing
	return l
}

func newLive(h *Human, size func() (width, height int), errToo bool, now func() time.Time) *Live {
	l := &Live{Human: h, now: now, region: region{out: h.out, size: size}}
	h.out = &above{l: l, to: h.out}
	if errToo {
		h.err = &above{l: l, to: h.err}
	}
	return l
}

// above is a writer whose lines come to stand above the status. The caller
// holds the lock, except for logs.
type above struct {
	l  *Live
	to io.Writer
}

func (a *above) Write(text []byte) (int, error) {
	a.l.region.erase()
	return a.to.Write(text)
}

// Event shows one event.
func (l *Live) Event(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking = false
	l.measure()
	if l.status.take(e, l.now()) {
		return // drawn within a frame
	}
	if isOfStep(e) {
		l.headline()
	}
	l.Human.Event(e)
	switch e.(type) {
	case engine.RunStarted:
		l.start()
	case engine.RunFinished, engine.RolledBack, engine.StepWaiting:
		l.end()
	default:
		l.draw()
	}
}

// measure has lines wrapped at the terminal's width, which may have changed.
func (l *Live) measure() {
	if width, _ := l.region.size(); width >= narrowest && l.outWidth > 0 {
		l.width, l.outWidth = uint(width), width
	}
}

// headline shows that of the step in hand, above what is to be said of it.
func (l *Live) headline() {
	if l.status.pending != nil {
		l.Human.Event(l.status.pending)
		l.status.pending = nil
	}
}

// isOfStep reports whether e is shown under its step's headline.
func isOfStep(e engine.Event) bool {
	switch e.(type) {
	case engine.RunStarted, engine.JournalTorn, engine.Stopping:
		return false
	}
	return true
}

// start draws until end.
func (l *Live) start() {
	if l.stop != nil {
		return
	}
	over := make(chan struct{})
	l.stop = func() { close(over) }
	if l.loop != nil {
		go l.loop(over)
	}
}

func (l *Live) keepDrawing(over <-chan struct{}) {
	tick := time.NewTicker(frame)
	defer tick.Stop()
	suspend := make(chan os.Signal, 1)
	signal.Notify(suspend, syscall.SIGTSTP)
	defer signal.Stop(suspend)
	for {
		select {
		case <-tick.C:
			l.tick()
		case <-suspend:
			l.suspend()
		case <-over:
			return
		}
	}
}

func (l *Live) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draw()
}

// suspend leaves the terminal to the shell that Ctrl-Z returns to, and goes on
// once the process does.
func (l *Live) suspend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.region.erase()
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP) // a process may always stop itself
	l.draw()
}

// draw shows the status as it is now.
func (l *Live) draw() {
	if l.asking || l.stop == nil {
		return
	}
	width, height := l.region.size()
	l.region.draw(l.status.lines(l.Human, l.now(), width, height))
}

// end takes the status away.
func (l *Live) end() {
	l.region.erase()
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
}

// Ask puts a question where the status was; the next event brings that back.
func (l *Live) Ask(question string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.headline()
	l.asking = true
	l.Human.Ask(question)
}

// Note tells something above the status.
func (l *Live) Note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Human.Note(format, args...)
	l.draw()
}

// Error ends the status and shows what went wrong.
func (l *Live) Error(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
	l.Human.Error(err)
}

// Stopped ends the status and says how to go on.
func (l *Live) Stopped(id string, phase run.Phase, s *run.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
	l.Human.Stopped(id, phase, s)
}

// Close takes the status away.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
}

func (l *Live) close() {
	if l.status.pending != nil && l.stop != nil { // cut short: the step has no outcome
		l.headline()
		l.line("  %s", l.bad.Sprint("not finished"))
	}
	l.end()
}

// Logs come to stand above the status as well. They come at any time.
func (l *Live) Logs() io.Writer { return &logs{l} }

type logs struct{ l *Live }

func (w *logs) Write(text []byte) (int, error) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	defer w.l.draw()
	return w.l.err.Write(text)
}
