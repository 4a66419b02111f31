package staticpod

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"runbook/actions/staticpod/manifest"
	"runbook/engine"
)

// A waiter waits until pods are gone or up, and stops what doesn't go by
// itself. It is made for one call of Apply or Undo.
type waiter struct {
	*runtime
	kubelet kubelet
	grace   time.Duration
	within  time.Duration // for the pods of one call of gone or up
	// failures is how many containers of a pod may end before up gives up; 0: any.
	failures int
	report   engine.Reporter

	began     time.Time // when the wait in hand began
	processes map[string]*os.Process
	ended     []ending
	stops     map[string]*stopping // by sandbox
	wake      chan struct{}        // a stop has ended, so it is worth a look
	byRuntime []string             // the pods that the runtime was asked to stop
}

// ending is a container that ran when it was to be stopped.
type ending struct{ pod, id, name string }

// stopping is a request to the runtime that may still be under way.
type stopping struct {
	done chan struct{}
	err  error // once done is closed
}

func (s *stopping) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// lookEvery is how often the runtime is asked. Kubelet itself looks once a
// second, or when the runtime tells.
const lookEvery = 50 * time.Millisecond

func newWaiter(k kubelet, grace, within time.Duration, report engine.Reporter) (*waiter, error) {
	r, err := connect(k.Socket)
	if err != nil {
		return nil, err
	}
	return &waiter{runtime: r, kubelet: k, grace: grace, within: within, report: report,
		processes: map[string]*os.Process{}, stops: map[string]*stopping{}, wake: make(chan struct{}, 1)}, nil
}

// of returns the pod's sandboxes, the newest first.
func (k kubelet) of(all []sandbox, pod manifest.Pod) []sandbox {
	var its []sandbox
	for _, s := range all {
		if s.pod == k.fullName(pod) && s.namespace == pod.Namespace {
			its = append(its, s)
		}
	}
	return its
}

// fullName is the name that kubelet gives to a static pod.
func (k kubelet) fullName(pod manifest.Pod) string { return pod.Name + "-" + k.Node }

// poll looks until look tells that nothing is left to wait for. look returns
// what it has seen last.
func (w *waiter) poll(ctx context.Context, what string, look func(context.Context) (left string, err error)) error {
	w.began = time.Now()
	within, cancel := context.WithTimeout(ctx, w.within)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := ""
	for {
		left, err := look(within)
		switch {
		case err == nil && left == "":
			return nil
		case !inTime(within): // what a look shows that was cut short says little
		case err != nil:
			return err
		default:
			last = left
		}
		w.report.Progress(engine.Progress{Doing: "waiting until " + what + ": " + last})
		select {
		case <-tick.C:
		case <-w.wake:
		case <-within.Done():
			return w.tooLate(ctx, what, last)
		}
	}
}

// inTime reports whether ctx goes on. Whatever ends with its deadline may do so
// a moment before ctx says it.
func inTime(ctx context.Context) bool {
	deadline, _ := ctx.Deadline()
	return ctx.Err() == nil && time.Now().Before(deadline)
}

func (w *waiter) tooLate(ctx context.Context, what, last string) error {
	if ctx.Err() != nil {
		return engine.Errorf("static pods", "the wait until %s was cut short: %w; last seen: %s", what, context.Cause(ctx), last).
			WithHint("Resume the run; it goes on waiting.")
	}
	return engine.Errorf("static pods", "it has not come to that within %s that %s; last seen: %s", w.within, what, last).
		WithHint("See crictl ps -a, crictl logs and journalctl -u kubelet. When the cause is gone, or timeout_seconds is raised, resume.")
}

// watch remembers what runs of the pods, before anything is done about it.
func (w *waiter) watch(ctx context.Context, pods []manifest.Pod) error {
	all, err := w.sandboxes(ctx)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		for _, s := range w.kubelet.of(all, pod) {
			w.describe(ctx, s)
		}
	}
	return nil
}

// planned is sandboxes for a plan: where the runtime doesn't answer, a step before
// may be what starts it.
func (w *waiter) planned(ctx context.Context, world engine.World) ([]sandbox, error) {
	all, err := w.sandboxes(ctx)
	if step := world.Touched(); err != nil && step != "" && ctx.Err() == nil {
		return nil, &engine.UnknownError{Step: step}
	}
	return all, err
}

// gone waits until nothing of the pods runs. Where kubelet doesn't run or takes
// too long, the runtime is asked to stop them. Without kubelet their sandboxes may
// be kept. With it, one that is ready says that kubelet hasn't come to it yet.
func (w *waiter) gone(ctx context.Context, pods []manifest.Pod, keep bool) error {
	if len(pods) == 0 {
		return nil
	}
	return w.poll(ctx, plural(names(pods))+are(pods)+" gone", func(ctx context.Context) (string, error) {
		all, err := w.sandboxes(ctx)
		if err != nil {
			return "", err
		}
		down, _ := w.kubelet.down(ctx)
		counts, stop := sandbox.up, w.stop
		if down && keep {
			counts, stop = sandbox.holds, w.empty
		}
		var left []string
		var slow []sandbox
		for _, pod := range pods {
			up, why := w.remains(ctx, all, pod, counts)
			slow = append(slow, up...)
			if why != "" {
				left = append(left, pod.Name+": "+why)
			}
		}
		if down || w.late() {
			w.hurry(ctx, slow, stop)
		}
		return strings.Join(left, "; "), nil
	})
}

// remains returns the sandboxes of a pod that count, and in words what is left of
// it. What the runtime says is checked against the processes and the ports, where
// there are any to look at.
func (w *waiter) remains(ctx context.Context, all []sandbox, pod manifest.Pod, counts func(sandbox) bool) (up []sandbox, why string) {
	for _, s := range w.kubelet.of(all, pod) {
		if counts(s) {
			up = append(up, s)
			why = w.describe(ctx, s)
		}
	}
	if why != "" {
		return up, why
	}
	for _, e := range w.ended {
		p := w.processes[e.id]
		if e.pod == pod.Name && p != nil && p.Signal(syscall.Signal(0)) == nil {
			return nil, fmt.Sprintf("container %s is gone for the runtime, but its process %d lives", e.name, p.Pid)
		}
	}
	if at := listening(ctx, pod); at != "" {
		return nil, fmt.Sprintf("its containers are gone, but something answers at %s", at)
	}
	return nil, ""
}

// describe tells what of a sandbox is up, and remembers the processes.
func (w *waiter) describe(ctx context.Context, s sandbox) string {
	why := "its sandbox is not stopped yet"
	for _, c := range s.containers {
		if c.ended() {
			continue
		}
		why = fmt.Sprintf("container %.12s (%s) is %s", c.id, c.name, stateOf(c))
		if _, known := w.processes[c.id]; !known {
			w.remember(ctx, s, c)
		}
	}
	if stop := w.stops[s.id]; stop != nil && stop.ended() && stop.err != nil {
		why += ", and " + stop.err.Error()
	}
	return why
}

func (w *waiter) remember(ctx context.Context, s sandbox, c container) {
	w.processes[c.id] = nil
	w.ended = append(w.ended, ending{pod: strings.TrimSuffix(s.pod, "-"+w.kubelet.Node), id: c.id, name: c.name})
	_, pid, err := w.status(ctx, c.id)
	if err != nil || pid == 0 {
		return // the runtime and the ports have to do
	}
	if p, err := os.FindProcess(pid); err == nil {
		w.processes[c.id] = p // stays this very process, whatever has its number later
	}
}

func stateOf(c container) string {
	return strings.ToLower(strings.TrimPrefix(c.state.String(), "CONTAINER_"))
}

// late reports whether kubelet has had its time.
func (w *waiter) late() bool { return time.Since(w.began) >= w.grace }

// hurry has the runtime stop sandboxes, where kubelet doesn't.
func (w *waiter) hurry(ctx context.Context, slow []sandbox, stop func(context.Context, sandbox, time.Duration) error) {
	for _, s := range slow {
		last := w.stops[s.id]
		if last != nil && !last.ended() {
			continue
		}
		now := &stopping{done: make(chan struct{})}
		w.stops[s.id] = now
		w.byRuntime = append(w.byRuntime, strings.TrimSuffix(s.pod, "-"+w.kubelet.Node))
		go func() {
			now.err = stop(ctx, s, w.grace)
			close(now.done)
			if now.err == nil && last == nil { // one that is of no avail is tried at each look
				w.look()
			}
		}()
	}
}

// look has the wait in hand look again at once.
func (w *waiter) look() {
	select {
	case w.wake <- struct{}{}:
	default: // it is about to
	}
}

func names(pods []manifest.Pod) []string {
	var all []string
	for _, p := range pods {
		all = append(all, p.Name)
	}
	return all
}

func are(pods []manifest.Pod) string {
	if len(pods) == 1 {
		return " is"
	}
	return " are"
}
