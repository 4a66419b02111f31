package systemd

import (
	"context"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// The states that a step can ask for.
const (
	started   = "started"
	stopped   = "stopped"
	restarted = "restarted"
)

var unitSpec = engine.Spec{
	Name: "systemd_unit",
	Doc: "Starts, stops or restarts a systemd unit, and waits until it has come to that. " +
		"A unit that failed is reset before it is started, so that its start limit doesn't stand in the way. " +
		"A unit that systemd keeps restarting counts as running where it is to be stopped, and as stopped where it is to be started. " +
		"Undoing the step brings back whether the unit ran before.",
	Attributes: []engine.Attribute{
		{Name: "unit", Type: cty.String, Required: true, Check: checkNameValue,
			Doc: "The unit's name with its type, such as etcd.service."},
		{Name: "state", Type: cty.String, Required: true, Check: checkState,
			Doc: `"started", "stopped" or "restarted"; restarted starts a stopped unit too.`},
	},
	Results: []engine.Attribute{
		{Name: "active_state", Type: cty.String, Doc: "systemd's word for it: active, inactive, failed."},
		{Name: "sub_state", Type: cty.String, Doc: "The finer state: running, exited, dead."},
		{Name: "main_pid", Type: cty.Number, Doc: "The main process's number; 0 if there is none."},
		{Name: "invocation_id", Type: cty.String, Doc: "The id that systemd gave this start of the unit."},
	},
	Example: `step "systemd_unit" "stop_kubelet" {
  unit  = "kubelet.service"
  state = "stopped"
}`,
	New: func() engine.Action { return new(unit) },
}

type unit struct {
	Unit  string `cty:"unit"`
	State string `cty:"state"`
}

var _ engine.Action = (*unit)(nil)

func checkState(v cty.Value) error {
	switch v.AsString() {
	case started, stopped, restarted:
		return nil
	}
	return fmt.Errorf("state must be %q, %q or %q", started, stopped, restarted)
}

// record is the action's Change.Data: how the unit was. Its InvocationID is
// the witness that tells whether a restart has happened since.
type record struct {
	Was engine.UnitFact `json:"was"`
}

// Plan implements engine.Action.
func (a *unit) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	was, err := w.Unit(ctx, a.Unit)
	if err != nil {
		return engine.Change{}, err
	}
	if err := a.refuse(ctx, was); err != nil {
		return engine.Change{}, err
	}
	before, after := a.differences(was)
	if before == after {
		return engine.Change{Results: results(was)}, nil
	}
	c := engine.Change{
		Items: []engine.Item{{Target: "unit " + a.Unit, Attribute: "state", Before: before, After: after,
			Note: states(was)}},
		Effects: []engine.Effect{{Unit: a.predict(was)}},
	}
	return c, c.SetData(record{Was: was})
}

// refuse tells why the unit can't be brought to the state, or nil.
func (a *unit) refuse(ctx context.Context, was engine.UnitFact) error {
	where := "unit " + a.Unit
	switch {
	case was.LoadState == "not-found":
		hint := "List the host's units with: systemctl list-unit-files."
		if names := similarUnits(ctx, a.Unit); len(names) > 0 {
			hint = "This host has " + strings.Join(names, ", ") + "."
		}
		return engine.Errorf(where, "systemd knows no such unit").WithHint("%s", hint).WithAttribute("unit")
	case a.State == stopped || was.LoadState == "loaded":
		return nil
	case was.LoadState == "masked":
		return engine.Errorf(where, "is masked, so it can't be started").
			WithHint("Someone decided that it must not run. If that is over: systemctl unmask %s", a.Unit).WithAttribute("unit")
	}
	return engine.Errorf(where, "its definition is not usable (%s)", was.LoadState).
		WithHint("See systemctl status %s and systemd-analyze verify.", a.Unit).WithAttribute("unit")
}

// differences puts the unit's state into words that don't change by
// themselves: a unit that crashes and is restarted again and again passes
// through many.
func (a *unit) differences(was engine.UnitFact) (before, after string) {
	up := active(was)
	if a.State != started {
		up = up || was.ActiveState == "activating" || was.ActiveState == "deactivating"
	}
	before = "stopped"
	if up {
		before = "running"
	}
	switch a.State {
	case started:
		return before, "running"
	case stopped:
		return before, "stopped"
	}
	return before, "running, newly started"
}

func active(u engine.UnitFact) bool {
	return u.ActiveState == "active" || u.ActiveState == "reloading"
}

func settledDown(u engine.UnitFact) bool {
	return u.ActiveState == "inactive" || u.ActiveState == "failed"
}

// predict is the unit's fact once the step is done. What systemd will choose
// then (the process, the invocation) is left empty.
func (a *unit) predict(was engine.UnitFact) *engine.UnitFact {
	f := engine.UnitFact{Name: was.Name, LoadState: was.LoadState, UnitFileState: was.UnitFileState,
		ActiveState: "active", SubState: "running", Result: "success"}
	if a.State == stopped {
		f.ActiveState, f.SubState, f.InvocationID = "inactive", "dead", was.InvocationID
	}
	return &f
}

func results(u engine.UnitFact) engine.Result {
	return engine.Result{
		"active_state":  u.ActiveState,
		"sub_state":     u.SubState,
		"main_pid":      u.MainPID,
		"invocation_id": u.InvocationID,
	}
}

// Apply implements engine.Action.
func (a *unit) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var rec record
	if err := c.GetData(&rec); err != nil {
		return nil, err
	}
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	k := control{conn: conn, unit: a.Unit, report: r}
	switch a.State {
	case started:
		err = k.start(ctx)
	case stopped:
		err = k.stop(ctx)
	default:
		err = k.restartSince(ctx, rec.Was.InvocationID)
	}
	if err != nil {
		return nil, err
	}
	now, err := k.read(ctx)
	return results(now.UnitFact), err
}

// Undo implements engine.Action. It brings back whether the unit ran: which
// process it was is past.
func (a *unit) Undo(ctx context.Context, c engine.Change, r engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var rec record
	if err := c.GetData(&rec); err != nil {
		return err
	}
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	k := control{conn: conn, unit: a.Unit, report: r}
	switch {
	case active(rec.Was):
		return k.start(ctx)
	case rec.Was.ActiveState == "activating":
		return k.tryStart(ctx)
	}
	return k.stop(ctx)
}

// states is a unit's state with its sub-state where that says more.
func states(u engine.UnitFact) string {
	if u.SubState == u.ActiveState {
		return u.ActiveState
	}
	return u.ActiveState + ", " + u.SubState
}
