package main

import (
	"context"
	"io"
	"sync/atomic"

	"runbook/engine"
)

// veil is where a log goes, without the secrets of what is planned or run.
// Libraries know nothing of secrets.
type veil struct {
	to      io.Writer
	secrets *atomic.Pointer[engine.Secrets]
}

// Write implements io.Writer. A line comes as a whole.
func (v veil) Write(p []byte) (int, error) {
	if s := v.secrets.Load(); s != nil && len(*s) > 0 {
		if _, err := io.WriteString(v.to, s.Hide(string(p))); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return v.to.Write(p)
}

// veiled is a host whose actions may have libraries write to the log.
type veiled struct {
	engine.Host
	secrets *atomic.Pointer[engine.Secrets]
}

func (h veiled) veil(ctx context.Context) {
	if s := engine.SecretsOf(ctx); len(s) > 0 {
		h.secrets.Store(&s)
	}
}

// Plan implements engine.Host.
func (h veiled) Plan(ctx context.Context, s engine.StepRequest) (engine.Change, error) {
	h.veil(ctx)
	return h.Host.Plan(ctx, s)
}

// Apply implements engine.Host.
func (h veiled) Apply(ctx context.Context, s engine.StepRequest, c engine.Change, r engine.Reporter) (engine.Result, error) {
	h.veil(ctx)
	return h.Host.Apply(ctx, s, c, r)
}

// Undo implements engine.Host.
func (h veiled) Undo(ctx context.Context, s engine.StepRequest, c engine.Change, r engine.Reporter) error {
	h.veil(ctx)
	return h.Host.Undo(ctx, s, c, r)
}

// Read implements engine.Host.
func (h veiled) Read(ctx context.Context, d engine.DataRequest) (engine.Result, error) {
	h.veil(ctx)
	return h.Host.Read(ctx, d)
}
