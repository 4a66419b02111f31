package staticpod

import (
	"context"
	"errors"
	"io/fs"

	"runbook/engine"
	"runbook/engine/durable"
)

// refuseExposed refuses a directory beside kubelet's in which somebody else than
// root could put a manifest, on its way there or on its way back: what kubelet is
// given it runs, as root too where the manifest says so. Who may write in
// kubelet's own folder is root already. now says where a directory is now.
func (m moved) refuseExposed(now func(dir string) (string, error)) error {
	other, attribute := m.From, "from"
	if m.Out {
		other, attribute = m.To, "to"
	}
	at, err := now(other)
	if err != nil {
		return err
	}
	e, err := exposed(at)
	if err != nil || e == nil {
		return err
	}
	if folder, err := exposed(m.Kubelet.Manifests); err != nil || folder != nil {
		return err
	}
	return engine.Errorf(other, "others could put a pod of theirs among these manifests, for kubelet to run: %v", e).
		WithHint("Name a directory that is root's alone, all the way to it; or look what is in this one, and then make it so (chown root, chmod go-w).").
		WithAttribute(attribute)
}

// exposed is durable.Exposed, and nil for what doesn't exist: who makes it will
// be root.
func exposed(dir string) (*durable.Exposure, error) {
	e, err := durable.Exposed(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &engine.Error{Where: dir, Err: err}
	}
	return e, nil
}

// whereNow is where the directory is now that an earlier step will have put at
// dir. Of what it will have made, dir itself has to do.
func whereNow(ctx context.Context, w engine.World, dir string) (string, error) {
	now, err := w.Source(ctx, dir)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) || errors.Is(err, fs.ErrNotExist) {
		return dir, nil
	}
	return now, err
}
