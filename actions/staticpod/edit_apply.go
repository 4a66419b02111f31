package staticpod

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"runbook/actions/staticpod/manifest"
	"runbook/engine"
	"runbook/engine/durable"
)

// Apply implements engine.Action.
func (a *edit) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	var rec edited
	if err := c.GetData(&rec); err != nil {
		return nil, err
	}
	if !c.Empty() {
		if err := a.replace(rec); err != nil {
			return nil, err
		}
	}
	fresh := func(s sandbox) bool { return !slices.Contains(rec.Was, s.uid) }
	return c.Results, a.await(ctx, rec, fresh, r)
}

// replace keeps the old file and puts the new one in its place, however far an
// earlier call got. Kubelet sees nothing but a file that is another one: a name
// that was absent for an instant, or a second file, it would act upon.
func (a *edit) replace(rec edited) error {
	now, err := digestAt(rec.Path)
	switch {
	case err != nil:
		return err
	case now == rec.New:
		return durable.SyncParents(rec.Path, rec.Kept)
	case now != rec.Old:
		return rec.changed()
	}
	if err := keep(rec.Path, rec.Kept); err != nil {
		return err
	}
	text, info, err := a.text(rec, rec.Path)
	if err != nil {
		return err
	}
	if err := durable.RemoveAll(rec.Staging); err != nil {
		return err
	}
	if err := writeLike(info, rec.Staging, text, false); err != nil {
		return err
	}
	return durable.Replace(rec.Staging, rec.Path)
}

// keep copies a file to kept, anew where a crash has left half of it.
func keep(path, kept string) error {
	if err := durable.RemoveAll(kept); err != nil {
		return err
	}
	return copyFile(path, kept)
}

// Undo implements engine.Action.
func (a *edit) Undo(ctx context.Context, c engine.Change, r engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var rec edited
	if err := c.GetData(&rec); err != nil {
		return err
	}
	if err := rec.bringBack(); err != nil {
		return err
	}
	if err := errors.Join(durable.RemoveAll(rec.Staging), durable.RemoveAll(rec.Kept)); err != nil {
		return err
	}
	if !rec.Ready {
		return nil // it may never be
	}
	old := func(s sandbox) bool { return slices.Contains(rec.Was, s.uid) }
	return a.await(ctx, rec, old, r)
}

// bringBack puts the old file in place again. The new one is kept.
func (r edited) bringBack() error {
	now, err := digestAt(r.Path)
	switch {
	case err != nil:
		return err
	case now == r.Old:
		return nil
	case now != r.New:
		return engine.Errorf(r.Path, "someone else has changed it since").
			WithHint("What was here is at %s; put it back by hand. Nothing was changed.", r.Kept)
	}
	kept, err := digestAt(r.Kept)
	if err != nil {
		return err
	}
	if kept != r.Old {
		return engine.Errorf(r.Kept, "what was at %s is not here any more", r.Path).
			WithHint("Look who has moved it, and put it back by hand. Nothing was changed.")
	}
	if err := keep(r.Path, r.Undone); err != nil {
		return err
	}
	err = durable.Replace(r.Kept, r.Path)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	if err := keep(r.Kept, r.Staging); err != nil {
		return err
	}
	return durable.Replace(r.Staging, r.Path)
}

// await waits until the pod is up, if kubelet runs it.
func (a *edit) await(ctx context.Context, rec edited, fresh func(sandbox) bool, r engine.Reporter) error {
	if !rec.Live {
		return nil
	}
	data, _, err := readFile(rec.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return rec.changed()
	}
	if err != nil {
		return err
	}
	pod, err := manifest.Parse(data)
	if err != nil {
		return engine.Errorf(rec.Path, "it can't be read as a manifest any more: %w", err).
			WithHint("Look who has changed it, then plan again.")
	}
	wait, err := newWaiter(rec.Kubelet, seconds(a.Grace), seconds(a.Timeout), r)
	if err != nil {
		return err
	}
	defer wait.close()
	return wait.up(ctx, []manifest.Pod{pod}, fresh)
}
