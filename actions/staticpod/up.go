package staticpod

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"runbook/actions/staticpod/manifest"
	"runbook/engine"
)

// silentFor is how long kubelet may not be running while it is to start pods:
// it may only just be starting.
const silentFor = 30 * time.Second

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
		if down || w.late() {
			w.hurry(ctx, w.kubelet.outdated(all, left, fresh), w.stop)
		}
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
