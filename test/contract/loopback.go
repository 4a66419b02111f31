package contract

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"runbook/engine"
)

// loopback is a host at the near end of a connection: whatever goes in or
// comes out, errors too, is encoded as JSON and decoded again. What an action
// keeps in memory between two calls, or hides in a type, doesn't get through.
type loopback struct{ far engine.Host }

var _ engine.Host = loopback{}

func (l loopback) Name() string { return l.far.Name() }

func (l loopback) Plan(ctx context.Context, s engine.StepRequest) (engine.Change, error) {
	c, err := l.far.Plan(ctx, copied(s))
	return copied(c), crossed(err)
}

func (l loopback) Apply(ctx context.Context, s engine.StepRequest, c engine.Change, r engine.Reporter) (engine.Result, error) {
	res, err := l.far.Apply(ctx, copied(s), copied(c), copyingReporter{r})
	return copied(res), crossed(err)
}

func (l loopback) Undo(ctx context.Context, s engine.StepRequest, c engine.Change, r engine.Reporter) error {
	return crossed(l.far.Undo(ctx, copied(s), copied(c), copyingReporter{r}))
}

func (l loopback) Settle(ctx context.Context, s engine.StepRequest, c engine.Change, r engine.Reporter) error {
	return crossed(l.far.Settle(ctx, copied(s), copied(c), copyingReporter{r}))
}

func (l loopback) Read(ctx context.Context, d engine.DataRequest) (engine.Result, error) {
	res, err := l.far.Read(ctx, copied(d))
	return copied(res), crossed(err)
}

func (l loopback) Discard(ctx context.Context, run, path string) error {
	return crossed(l.far.Discard(ctx, run, path))
}

func (l loopback) Stat(ctx context.Context, path string, hash bool, under []engine.Effect) (engine.PathFact, error) {
	f, err := l.far.Stat(ctx, path, hash, copied(under))
	return copied(f), crossed(err)
}

func (l loopback) Unit(ctx context.Context, name string, under []engine.Effect) (engine.UnitFact, error) {
	f, err := l.far.Unit(ctx, name, copied(under))
	return copied(f), crossed(err)
}

type copyingReporter struct{ near engine.Reporter }

func (r copyingReporter) Progress(p engine.Progress) { r.near.Progress(copied(p)) }

// copied is v after a journey as JSON. What can't travel is a mistake in the
// type, so it panics.
func copied[T any](v T) T {
	var out T
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic(err)
	}
	return out
}

// wireError is an error as data.
type wireError struct {
	Where, Message, Hint, Attribute string
	UnknownUntil                    *string
}

// crossed is err as the near end sees it. An error that is neither of the two
// kinds which may cross arrives without a place, and tests see that.
func crossed(err error) error {
	if err == nil {
		return nil
	}
	w := wireError{Message: err.Error(), Hint: engine.HintOf(err)}
	var unknown *engine.UnknownError
	var e *engine.Error
	switch {
	case errors.As(err, &unknown):
		w.UnknownUntil = &unknown.Step
	case errors.As(err, &e):
		w.Where, w.Attribute = e.Where, e.Attribute
	}
	return copied(w).rebuilt()
}

func (w wireError) rebuilt() error {
	if w.UnknownUntil != nil {
		return &engine.UnknownError{Step: *w.UnknownUntil}
	}
	message := strings.TrimPrefix(w.Message, w.Where+": ")
	return &engine.Error{Where: w.Where, Err: errors.New(message), Hint: w.Hint, Attribute: w.Attribute}
}
