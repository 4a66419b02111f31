package staticpod

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
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

// silentFor is how long kubelet may not be running while it is to start pods:
// it may only just be starting.
const silentFor = 30 * time.Second

func newWaiter(k kubelet, grace, within time.Duration, report engine.Reporter) (*waiter, error) {
	r, err := connect(k.Socket)
	if err != nil {
		return nil, err
	}
	return &waiter{runtime: r, kubelet: k, grace: grace, within: within, report: report,
		processes: map[string]*os.Process{}, stops: map[string]*stopping{}}, nil
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
		case <-within.Done():
			return w.late(ctx, what, last)
		}
	}
}

// inTime reports whether ctx goes on. Whatever ends with its deadline may do so
// a moment before ctx says it.
func inTime(ctx context.Context) bool {
	deadline, _ := ctx.Deadline()
	return ctx.Err() == nil && time.Now().Before(deadline)
}

func (w *waiter) late(ctx context.Context, what, last string) error {
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

// gone waits until nothing of the pods runs. Where kubelet doesn't run or takes
// too long, the runtime is asked to stop them. Without kubelet a pod's sandbox may
// stay, for kubelet to use again: that is faster than a new one, and nothing but a
// name. With it, one that is ready says that kubelet hasn't come to it yet.
func (w *waiter) gone(ctx context.Context, pods []manifest.Pod) error {
	if len(pods) == 0 {
		return nil
	}
	return w.poll(ctx, plural(names(pods))+are(pods)+" gone", func(ctx context.Context) (string, error) {
		all, err := w.sandboxes(ctx)
		if err != nil {
			return "", err
		}
		down, _ := w.kubelet.down(ctx)
		counts := sandbox.up
		if down {
			counts = sandbox.holds
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
		w.hurry(ctx, slow, down)
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

// hurry has the runtime stop sandboxes, where kubelet doesn't: it is down, or has
// had its time.
func (w *waiter) hurry(ctx context.Context, slow []sandbox, down bool) {
	if !down && time.Since(w.began) < w.grace {
		return
	}
	stop := w.stop
	if down {
		stop = w.empty
	}
	for _, s := range slow {
		if last := w.stops[s.id]; last != nil && !last.ended() {
			continue
		}
		now := &stopping{done: make(chan struct{})}
		w.stops[s.id] = now
		w.byRuntime = append(w.byRuntime, strings.TrimSuffix(s.pod, "-"+w.kubelet.Node))
		go func() {
			defer close(now.done)
			now.err = stop(ctx, s, w.grace)
		}()
	}
}

// up waits until the pods run and are ready. fresh, where set, tells whether a
// sandbox is of the manifest that counts.
func (w *waiter) up(ctx context.Context, pods []manifest.Pod, fresh func(sandbox) bool) error {
	if len(pods) == 0 {
		return nil
	}
	heard := time.Now()
	left := slices.Clone(pods)
	failed := failures{most: w.failures}
	return w.poll(ctx, plural(names(pods))+are(pods)+" up", func(ctx context.Context) (string, error) {
		all, err := w.sandboxes(ctx)
		if err != nil {
			return "", err
		}
		down, saw := w.kubelet.down(ctx)
		w.hurry(ctx, w.kubelet.outdated(all, left, fresh), down)
		lacks := w.lacks(ctx, all, left, fresh)
		if err := w.tooMany(ctx, &failed, all, left); err != nil {
			return "", err
		}
		var still []manifest.Pod
		var why []string
		for i, pod := range left {
			if lacks[i] != "" {
				still, why = append(still, pod), append(why, pod.Name+": "+lacks[i])
			}
		}
		left = still
		if !down || len(left) == 0 {
			heard = time.Now()
		}
		if time.Since(heard) > silentFor {
			return "", notRunning(saw)
		}
		return strings.Join(why, "; "), nil
	})
}

// lacks tells of each pod what it lacks to be up, or nothing. They are asked side
// by side: one whose probe hangs is no reason to wait for another.
func (w *waiter) lacks(ctx context.Context, all []sandbox, pods []manifest.Pod, fresh func(sandbox) bool) []string {
	lacks := make([]string, len(pods))
	var asked sync.WaitGroup
	for i, pod := range pods {
		asked.Go(func() { lacks[i] = w.missing(ctx, w.kubelet.of(all, pod), pod, fresh) })
	}
	asked.Wait()
	return lacks
}

// outdated are the sandboxes that have to go before kubelet starts a fresh one.
func (k kubelet) outdated(all []sandbox, pods []manifest.Pod, fresh func(sandbox) bool) []sandbox {
	var old []sandbox
	for _, pod := range pods {
		for _, s := range k.of(all, pod) {
			if fresh != nil && !fresh(s) && s.up() {
				old = append(old, s)
			}
		}
	}
	return old
}

func notRunning(saw string) error {
	return engine.Errorf("kubelet", "it isn't running, and nothing else starts static pods: %s", saw).
		WithHint("Start it (systemctl start kubelet; journalctl -u kubelet tells why it ended), then resume.")
}

// answersSoon bounds how long a plan asks a pod whether it is ready. An API server
// whose etcd is dead takes two seconds to say that it isn't.
const answersSoon = 500 * time.Millisecond

// missingNow is missing for a plan: what doesn't answer soon isn't ready.
func (w *waiter) missingNow(ctx context.Context, its []sandbox, pod manifest.Pod) string {
	ctx, cancel := context.WithTimeout(ctx, answersSoon)
	defer cancel()
	return w.missing(ctx, its, pod, nil)
}

// missing tells what a pod lacks to be up, or nothing.
func (w *waiter) missing(ctx context.Context, its []sandbox, pod manifest.Pod, fresh func(sandbox) bool) string {
	for _, s := range its {
		if !s.ready || fresh != nil && !fresh(s) {
			continue
		}
		for _, c := range pod.Containers {
			if why := w.unready(ctx, s, c); why != "" {
				return why
			}
		}
		return ""
	}
	return "kubelet has not started it yet"
}

// unready tells why a container of a sandbox isn't ready, or nothing.
func (w *waiter) unready(ctx context.Context, s sandbox, c manifest.Container) string {
	now, ok := s.current(c.Name)
	switch {
	case !ok:
		return fmt.Sprintf("container %s is not there yet", c.Name)
	case now.ended():
		return w.crash(ctx, now)
	case !now.runs():
		return fmt.Sprintf("container %s is %s", c.Name, stateOf(now))
	}
	for _, p := range c.Probes {
		if err := w.ask(ctx, p, now.id, w.patience()); err != nil {
			return fmt.Sprintf("container %s runs and is not ready: %v", c.Name, err)
		}
	}
	return ""
}

// patience is how long a probe may take to answer: a small part of the wait so far.
// A server that is starting up takes requests that it doesn't come to, and would
// hide for as long as a probe may take that it is ready by now.
func (w *waiter) patience() time.Duration { return max(2*lookEvery, time.Since(w.began)/16) }

// crash tells of a container that has ended although it was to run.
func (w *waiter) crash(ctx context.Context, c container) string {
	s, _, err := w.status(ctx, c.id)
	if err != nil || s == nil {
		return fmt.Sprintf("container %s has ended", c.name)
	}
	text := fmt.Sprintf("container %s has ended with %d", c.name, s.ExitCode)
	if words := w.lastWords(ctx, c.id); words != "" {
		text += "; it last said:\n" + words
	}
	return text
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
