// Package host holds the machines that steps work on. Local is this one.
package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"runbook/engine"
	"runbook/engine/durable"
)

// Local works on the machine that the process runs on.
type Local struct {
	reg  *engine.Registry
	past histories
}

var _ engine.Host = (*Local)(nil)

// NewLocal returns this machine, with the actions and data sources of reg.
func NewLocal(reg *engine.Registry) *Local { return &Local{reg: reg} }

// Name is the machine's host name.
func (l *Local) Name() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// Plan implements engine.Host.
func (l *Local) Plan(ctx context.Context, s engine.StepRequest) (engine.Change, error) {
	a, err := l.action(s)
	if err != nil {
		return engine.Change{}, err
	}
	if len(s.Effects) == 0 { // a plan begins, or a step is carried out
		l.past.forget()
	}
	c, err := a.Plan(ctx, l.world(s.Run, s.Effects))
	c.Effects = settled(c.Effects)
	return c, durable.Advised(err, "try again")
}

// goOn is what to do once a disk is in order again.
const goOn = "resume the run"

// Apply implements engine.Host.
func (l *Local) Apply(ctx context.Context, s engine.StepRequest, c engine.Change, r engine.Reporter) (engine.Result, error) {
	a, err := l.action(s)
	if err != nil {
		return nil, err
	}
	res, err := a.Apply(ctx, c, r)
	return res, durable.Advised(err, goOn)
}

// Undo implements engine.Host.
func (l *Local) Undo(ctx context.Context, s engine.StepRequest, c engine.Change, r engine.Reporter) error {
	a, err := l.action(s)
	if err != nil {
		return err
	}
	return durable.Advised(a.Undo(ctx, c, r), goOn)
}

// Settle implements engine.Host.
func (l *Local) Settle(ctx context.Context, s engine.StepRequest, c engine.Change, r engine.Reporter) error {
	a, err := l.action(s)
	if err != nil {
		return err
	}
	if s, ok := a.(engine.Settler); ok {
		return s.Settle(ctx, c, r)
	}
	return nil
}

// Read implements engine.Host.
func (l *Local) Read(ctx context.Context, d engine.DataRequest) (engine.Result, error) {
	spec, ok := l.reg.DataSource(d.Type)
	if !ok {
		return nil, engine.Errorf("data source "+d.Type, "this version of runbook has none of that name")
	}
	src := spec.New()
	if err := engine.DecodeConfig(spec.Attributes, d.Config, src); err != nil {
		return nil, err
	}
	return src.Read(ctx, l.world(d.Run, nil))
}

// Discard implements engine.Host.
func (l *Local) Discard(_ context.Context, run, path string) error {
	if run == "" || !filepath.IsAbs(path) || !strings.Contains(filepath.Base(path), run) {
		return engine.Errorf(path, "run %s has not kept this", run)
	}
	return durable.Advised(durable.RemoveAll(path), "prune again")
}

// Stat implements engine.Host.
func (l *Local) Stat(ctx context.Context, path string, hash bool, under []engine.Effect) (engine.PathFact, error) {
	w := l.world(engine.RunInfo{}, under)
	fact, err := w.Stat(ctx, path)
	if err != nil || !hash || fact.Type != engine.TypeFile {
		return fact, err
	}
	src, err := w.Source(ctx, path)
	if err != nil {
		return engine.PathFact{}, err
	}
	fact.SHA256, err = sha256File(ctx, src)
	return fact, err
}

// Unit implements engine.Host.
func (l *Local) Unit(ctx context.Context, name string, under []engine.Effect) (engine.UnitFact, error) {
	return l.world(engine.RunInfo{}, under).Unit(ctx, name)
}

func (l *Local) world(run engine.RunInfo, under []engine.Effect) *overlay {
	return newOverlay(l.reg.Facts, run, l.past.of(under))
}

func (l *Local) action(s engine.StepRequest) (engine.Action, error) {
	spec, ok := l.reg.Action(s.Action)
	if !ok {
		return nil, engine.Errorf("action "+s.Action, "this version of runbook has none of that name")
	}
	a := spec.New()
	if err := engine.DecodeConfig(spec.Attributes, s.Config, a); err != nil {
		return nil, err
	}
	return a, nil
}
