package staticpod

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"runbook/actions/staticpod/manifest"
	"runbook/engine"
	"runbook/engine/durable"
)

// Apply implements engine.Action.
func (a *move) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	var rec moved
	if err := c.GetData(&rec); err != nil {
		return nil, err
	}
	wait, err := newWaiter(rec.Kubelet, seconds(a.Grace), seconds(a.Timeout), r)
	if err != nil {
		return nil, err
	}
	defer wait.close()
	began := time.Now()
	if rec.MakesTo {
		if err := makeTo(rec.To); err != nil {
			return nil, err
		}
	}
	if err := rec.refuseExposed(func(dir string) (string, error) { return dir, nil }); err != nil {
		return nil, err
	}
	wait.failures = int(a.Failures)
	wanted := func(movedPod) bool { return a.Wait }
	if err := rec.carry(ctx, wait, wanted); err != nil {
		return nil, err
	}
	return engine.Result{
		"stopped":            wait.stopped(ctx),
		"stopped_by_runtime": slices.Compact(slices.Sorted(slices.Values(wait.byRuntime))),
		"seconds":            int64(time.Since(began).Seconds()),
	}, nil
}

func makeTo(dir string) error {
	err := durable.Mkdir(dir, 0o700)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return &engine.Error{Where: dir, Err: err}
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// Undo implements engine.Action.
func (a *move) Undo(ctx context.Context, c engine.Change, r engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var rec moved
	if err := c.GetData(&rec); err != nil {
		return err
	}
	wait, err := newWaiter(rec.Kubelet, seconds(a.Grace), seconds(a.Timeout), r)
	if err != nil {
		return err
	}
	defer wait.close()
	for _, p := range rec.Pods { // half a copy, where a crash has left one
		if err := durable.RemoveAll(filepath.Join(rec.To, p.Staging)); err != nil {
			return err
		}
	}
	// Pods that were not ready before may never be. Where kubelet wasn't
	// running, nobody can have started them again.
	wasUp := func(p movedPod) bool { return p.Ready && !rec.Down }
	if err := rec.reversed().carry(ctx, wait, wasUp); err != nil {
		return err
	}
	return rec.removeTo()
}

// reversed is the way back. What was at its destination before stays there.
func (m moved) reversed() moved {
	back := m
	back.From, back.To, back.Out, back.AtOnce, back.Keep, back.Pods = m.To, m.From, !m.Out, false, false, nil
	for _, p := range slices.Backward(m.Pods) {
		if !p.There {
			back.Pods = append(back.Pods, p)
		}
	}
	return back
}

// removeTo removes the directory that the step made, if it is empty.
func (m moved) removeTo() error {
	if !m.MakesTo {
		return nil
	}
	err := durable.Rmdir(m.To)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTEMPTY) {
		return engine.Errorf(m.To, "rmdir: %w", err)
	}
	return durable.SyncDir(filepath.Dir(m.To))
}

// carry moves the manifests that haven't been yet, and waits for their pods.
// Of those that are put in place, it waits for the ones that are wanted.
func (m moved) carry(ctx context.Context, wait *waiter, wanted func(movedPod) bool) error {
	waves, err := m.waves()
	if err != nil {
		return err
	}
	for _, wave := range waves {
		if m.Out {
			err = m.stop(ctx, wait, wave)
		} else {
			err = m.start(ctx, wait, wave, wanted)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m moved) stop(ctx context.Context, wait *waiter, wave []carried) error {
	if err := wait.watch(ctx, podsOf(wave)); err != nil {
		return err
	}
	for _, c := range wave {
		if err := m.place(c.movedPod); err != nil {
			return err
		}
	}
	return wait.gone(ctx, podsOf(wave), m.Keep)
}

// start waits for what an earlier step or a crash has left on its way down
// first: it would be taken for what is to come up.
func (m moved) start(ctx context.Context, wait *waiter, wave []carried, wanted func(movedPod) bool) error {
	outside := slices.DeleteFunc(slices.Clone(wave), func(c carried) bool { return c.inPlace })
	if err := wait.gone(ctx, podsOf(outside), true); err != nil {
		return err
	}
	for _, c := range wave {
		if err := m.place(c.movedPod); err != nil {
			return err
		}
	}
	awaited := slices.DeleteFunc(slices.Clone(wave), func(c carried) bool { return !wanted(c.movedPod) })
	return wait.up(ctx, podsOf(awaited), nil)
}

// carried is a pod on its way, with its manifest as it is now.
type carried struct {
	movedPod
	pod     manifest.Pod
	inPlace bool
}

func podsOf(wave []carried) []manifest.Pod {
	var pods []manifest.Pod
	for _, c := range wave {
		pods = append(pods, c.pod)
	}
	return pods
}

// waves are the pods in their order, in groups that stop or start together.
// etcd is a group by itself: an API server that outlives it, or comes up before
// it, fails and is started again only after a while. Where nobody waits for the
// one before the other, there is one group.
func (m moved) waves() ([][]carried, error) {
	var waves [][]carried
	alone := false
	for _, p := range m.Pods {
		c, err := m.look(p)
		if err != nil {
			return nil, err
		}
		if len(waves) == 0 || !m.AtOnce && (alone || c.pod.Etcd()) {
			waves = append(waves, nil)
		}
		alone = c.pod.Etcd()
		waves[len(waves)-1] = append(waves[len(waves)-1], c)
	}
	return waves, nil
}

// look reads the pod's manifest, wherever an earlier call has left it.
func (m moved) look(p movedPod) (carried, error) {
	from, to := filepath.Join(m.From, p.File), filepath.Join(m.To, p.File)
	data, _, err := readFile(to)
	inPlace := err == nil
	if errors.Is(err, os.ErrNotExist) {
		data, _, err = readFile(from)
	}
	if errors.Is(err, os.ErrNotExist) {
		return carried{}, engine.Errorf(from, "the manifest is neither here nor in %s", m.To).
			WithHint("Something else has moved or deleted it since the step was planned; find it before going on.")
	}
	if err != nil {
		return carried{}, err
	}
	pod, err := manifest.Parse(data)
	if err != nil {
		return carried{}, engine.Errorf(from, "it can't be read as a manifest any more: %w", err).
			WithHint("Look who has changed it, then plan again.")
	}
	return carried{movedPod: p, pod: pod, inPlace: inPlace}, nil
}

// stopped tells how the containers have ended that were waited for.
func (w *waiter) stopped(ctx context.Context) []map[string]any {
	all := []map[string]any{}
	for _, e := range w.ended {
		code := any(nil)
		if s, _, err := w.status(ctx, e.id); err == nil && s != nil {
			code = s.ExitCode
		}
		all = append(all, map[string]any{"pod": e.pod, "container": e.name, "exit_code": code})
	}
	return all
}
