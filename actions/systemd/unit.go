package systemd

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// The states that a step can ask for.
const (
	started   = "started"
	stopped   = "stopped"
	restarted = "restarted"
	reloaded  = "reloaded"
)

var unitSpec = engine.Spec{
	Name: "systemd_unit",
	Doc: "Starts, stops, restarts or reloads a systemd unit, and waits until it has come to that; enables or disables it, masks or unmasks it. " +
		"At least one of state, enabled, masked and daemon_reload is set. " +
		"Before it is started, systemd is made to forget that it failed and how often it was started, so that its start limit doesn't stand in the way. " +
		"A unit that doesn't tell systemd when it is ready (Type=simple) is started once its process runs: have a later step check what it serves. " +
		"A unit that systemd keeps restarting counts as running where it is to be stopped, and as stopped where it is to be started. " +
		"Whatever changes a unit's files has systemd read all of them again. " +
		"Undoing the step brings back whether the unit ran before, and the very links that enabled or masked it.",
	Attributes: []engine.Attribute{
		{Name: "unit", Type: cty.String, Required: true, Check: checkNameValue,
			Doc: "The unit's name with its type, such as etcd.service."},
		{Name: "state", Type: cty.String, Check: checkState,
			Doc: `"started", "stopped", "restarted" or "reloaded"; restarted starts a stopped unit too. Without it the unit goes on as it is.`},
		{Name: "enabled", Type: cty.Bool,
			Doc: "Whether the unit is started when the machine starts, or whatever its [Install] section says. Without it that stays as it is."},
		{Name: "masked", Type: cty.Bool,
			Doc: "Whether nothing at all can start the unit. A unit that is to be unmasked is so first, one that is to be masked last."},
		{Name: "daemon_reload", Type: cty.Bool, Default: cty.False,
			Doc: "Whether systemd first reads all unit files again, because an earlier step has changed some."},
	},
	Results: []engine.Attribute{
		{Name: "active_state", Type: cty.String, Doc: "systemd's word for it: active, inactive, failed."},
		{Name: "sub_state", Type: cty.String, Doc: "The finer state: running, exited, dead."},
		{Name: "unit_file_state", Type: cty.String, Doc: "enabled, disabled, static, masked and so on."},
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
	Unit         string  `cty:"unit"`
	State        *string `cty:"state"`
	Enabled      *bool   `cty:"enabled"`
	Masked       *bool   `cty:"masked"`
	DaemonReload bool    `cty:"daemon_reload"`
}

var _ engine.Action = (*unit)(nil)

func checkState(v cty.Value) error {
	switch v.AsString() {
	case started, stopped, restarted, reloaded:
		return nil
	}
	return fmt.Errorf("state must be %q, %q, %q or %q", started, stopped, restarted, reloaded)
}

// wants reports whether the unit is to come to a state.
func (a *unit) wants(state string) bool { return a.State != nil && *a.State == state }

// record is the action's Change.Data: what is to be done, and how it was. The
// InvocationID is the witness that tells whether a restart has happened since,
// the time of the last change of state, with how the last reload ended, whether a
// reload has.
type record struct {
	Was     engine.UnitFact `json:"was"`
	Changed uint64          `json:"changed,omitempty"`
	State   bool            `json:"state,omitempty"`
	Enable  *bool           `json:"enable,omitempty"`
	Mask    *bool           `json:"mask,omitempty"`
	Links   links           `json:"links,omitempty"`
}

// Plan implements engine.Action.
func (a *unit) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	was, err := w.Unit(ctx, a.Unit)
	if err == nil {
		was, err = a.toBeRead(ctx, w, was)
	}
	if err != nil {
		return engine.Change{}, err
	}
	if err := a.refuse(ctx, was); err != nil {
		return engine.Change{}, err
	}
	rec := record{Was: was}
	items := a.items(was, &rec)
	if len(items) == 0 {
		return engine.Change{Results: results(was)}, nil
	}
	c := engine.Change{Items: items, Effects: []engine.Effect{{Unit: a.predict(was, rec)}}}
	c.Repeats = a.DaemonReload || a.wants(restarted) || a.wants(reloaded)
	if a.wants(reloaded) {
		if rec.Changed, err = a.reloadable(ctx); err != nil {
			return engine.Change{}, err
		}
		if rec.Enable == nil && rec.Mask == nil {
			c.Irreversible = "what a unit has read it can't be made to forget."
		}
	}
	if rec.Enable != nil || rec.Mask != nil {
		if rec.Links, err = a.links(); err != nil {
			return engine.Change{}, err
		}
		if err := a.refuseLinks(rec); err != nil {
			return engine.Change{}, err
		}
	}
	return c, c.SetData(rec)
}

// toBeRead is what systemd will say of a unit whose file an earlier step will
// have written.
func (a *unit) toBeRead(ctx context.Context, w engine.World, was engine.UnitFact) (engine.UnitFact, error) {
	if was.LoadState != "not-found" || !a.DaemonReload {
		return was, nil
	}
	for _, dir := range unitDirs {
		fact, err := w.Stat(ctx, path.Join(dir, a.Unit))
		if err != nil {
			return was, err
		}
		if fact.Exists {
			was.LoadState, was.ActiveState, was.SubState, was.UnitFileState = "loaded", "inactive", "dead", "disabled"
			return was, nil
		}
	}
	return was, nil
}

// items are the differences, in the order in which they are brought about.
func (a *unit) items(was engine.UnitFact, rec *record) []engine.Item {
	var items []engine.Item
	add := func(attribute, before, after, note string) {
		items = append(items, engine.Item{Target: "unit " + a.Unit, Attribute: attribute, Before: before, After: after, Note: note})
	}
	if a.DaemonReload {
		items = append(items, engine.Item{Target: "systemd", Attribute: "unit files", Before: "as read before", After: "read again"})
	}
	if a.Masked != nil && !*a.Masked && masked(was) {
		rec.Mask = a.Masked
		add("mask", "masked", "not masked", "")
	}
	if a.Enabled != nil && *a.Enabled != (was.UnitFileState == "enabled") && (*a.Enabled || a.enabledSomehow(was)) {
		rec.Enable = a.Enabled
		add("enabled", was.UnitFileState, map[bool]string{true: "enabled", false: "disabled"}[*a.Enabled], "")
	}
	if a.State != nil {
		if before, after := a.differences(was); before != after {
			rec.State = true
			add("state", before, after, states(was))
		}
	}
	if a.Masked != nil && *a.Masked && !masked(was) {
		rec.Mask = a.Masked
		add("mask", "not masked", "masked", "")
	}
	return items
}

func masked(u engine.UnitFact) bool { return u.LoadState == "masked" }

// enabledSomehow reports whether there may be something to disable. Of a
// masked unit systemd doesn't tell, and while it stays so it doesn't matter.
func (a *unit) enabledSomehow(u engine.UnitFact) bool {
	return strings.HasPrefix(u.UnitFileState, "enabled") || masked(u) && a.Masked != nil && !*a.Masked
}

// refuse tells why the unit can't be brought to what is asked, or nil.
func (a *unit) refuse(ctx context.Context, was engine.UnitFact) error {
	where := "unit " + a.Unit
	stays := masked(was) && (a.Masked == nil || *a.Masked)
	switch {
	case a.State == nil && a.Enabled == nil && a.Masked == nil && !a.DaemonReload:
		return engine.Errorf(where, "nothing is asked of it").WithHint("Set state, enabled, masked or daemon_reload.").WithAttribute("unit")
	case was.LoadState == "not-found":
		hint := "List the host's units with: systemctl list-unit-files."
		if names := similarUnits(ctx, a.Unit); len(names) > 0 {
			hint = "This host has " + strings.Join(names, ", ") + "."
		}
		return engine.Errorf(where, "systemd knows no such unit").WithHint("%s", hint).WithAttribute("unit")
	case a.Masked != nil && *a.Masked && (a.State != nil && !a.wants(stopped) || a.Enabled != nil && *a.Enabled):
		return engine.Errorf(where, "a masked unit can neither run nor be enabled").
			WithHint("Set masked = false, or state = \"stopped\" and no enabled.").WithAttribute("masked")
	case stays && (a.State != nil && !a.wants(stopped) || a.Enabled != nil && *a.Enabled):
		return engine.Errorf(where, "is masked, so it can't be started or enabled").
			WithHint("Someone decided that it must not run. If that is over, set masked = false.").WithAttribute("unit")
	case a.Enabled != nil && *a.Enabled && slices.Contains(notToEnable, was.UnitFileState):
		return engine.Errorf(where, "can't be enabled: its unit file is %s", was.UnitFileState).
			WithHint("Only a unit file with an [Install] section can be; see systemctl cat %s.", a.Unit).WithAttribute("enabled")
	case a.wants(reloaded) && !active(was):
		return engine.Errorf(where, "is not running, so it can't be reloaded").
			WithHint("Start it: it then reads its configuration anyway.").WithAttribute("state")
	case a.State == nil || a.wants(stopped) || was.LoadState == "loaded" || masked(was):
		return nil
	}
	return engine.Errorf(where, "its definition is not usable (%s)", was.LoadState).
		WithHint("See systemctl status %s and systemd-analyze verify.", a.Unit).WithAttribute("unit")
}

// notToEnable are the states of unit files that enabling doesn't change.
var notToEnable = []string{"static", "generated", "transient", "alias", "indirect", "bad"}

// differences puts the unit's state into words that don't change by
// themselves: a unit that crashes and is restarted again and again passes
// through many.
func (a *unit) differences(was engine.UnitFact) (before, after string) {
	up := active(was)
	if !a.wants(started) {
		up = up || was.ActiveState == "activating" || was.ActiveState == "deactivating"
	}
	before = "stopped"
	if up {
		before = "running"
	}
	switch *a.State {
	case started:
		return before, "running"
	case stopped:
		return before, "stopped"
	case reloaded:
		return before, "running, configuration read again"
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
func (a *unit) predict(was engine.UnitFact, rec record) *engine.UnitFact {
	f := was
	switch {
	case !rec.State || a.wants(reloaded):
	case a.wants(stopped):
		f.ActiveState, f.SubState, f.MainPID, f.Result = "inactive", "dead", 0, "success"
	default:
		f = engine.UnitFact{Name: was.Name, LoadState: was.LoadState, UnitFileState: was.UnitFileState,
			ActiveState: "active", SubState: "running", Result: "success"}
	}
	if a.Masked != nil && masked(was) && !*a.Masked {
		f.LoadState, f.UnitFileState = "loaded", "disabled"
	}
	if a.Enabled != nil {
		f.UnitFileState = map[bool]string{true: "enabled", false: "disabled"}[*a.Enabled]
	}
	if a.Masked != nil && *a.Masked {
		f.LoadState, f.UnitFileState = "masked", "masked"
	}
	return &f
}

func results(u engine.UnitFact) engine.Result {
	return engine.Result{
		"active_state":    u.ActiveState,
		"sub_state":       u.SubState,
		"unit_file_state": u.UnitFileState,
		"main_pid":        u.MainPID,
		"invocation_id":   u.InvocationID,
	}
}

// Apply implements engine.Action.
func (a *unit) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	k, rec, err := a.control(ctx, c, r)
	if err != nil {
		return nil, err
	}
	defer k.conn.Close()
	if a.DaemonReload {
		err = k.readFiles(ctx)
	}
	if err == nil && rec.Mask != nil && !*rec.Mask {
		err = k.mask(ctx, false)
	}
	if err == nil && rec.Enable != nil {
		err = k.enable(ctx, *rec.Enable)
	}
	if err == nil && rec.State {
		err = a.toState(ctx, k, rec)
	}
	if err == nil && rec.Mask != nil && *rec.Mask {
		err = k.mask(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	now, err := k.read(ctx)
	return results(now.UnitFact), err
}

// control opens what Apply and Undo work through. The caller closes its
// connection.
func (a *unit) control(ctx context.Context, c engine.Change, r engine.Reporter) (control, record, error) {
	var rec record
	if err := c.GetData(&rec); err != nil {
		return control{}, rec, err
	}
	conn, err := connect(ctx)
	return control{conn: conn, unit: a.Unit, report: r, since: time.Now()}, rec, err
}

func (a *unit) toState(ctx context.Context, k control, rec record) error {
	switch *a.State {
	case started:
		return k.start(ctx)
	case stopped:
		return k.stop(ctx)
	case reloaded:
		return k.reloadSince(ctx, rec.Changed)
	}
	return k.restartSince(ctx, rec.Was.InvocationID)
}

// Undo implements engine.Action. It brings back whether the unit ran: which
// process it was is past.
func (a *unit) Undo(ctx context.Context, c engine.Change, r engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	k, rec, err := a.control(ctx, c, r)
	if err != nil {
		return err
	}
	defer k.conn.Close()
	files := func() error { return a.undoFiles(ctx, k, rec) }
	state := func() error { return a.undoState(ctx, k, rec) }
	order := []func() error{files, state}
	if masked(rec.Was) { // once it is masked again, it can't be started
		order = []func() error{state, files}
	}
	for _, do := range order {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func (a *unit) undoState(ctx context.Context, k control, rec record) error {
	switch {
	case !rec.State || a.wants(reloaded):
		return nil
	case active(rec.Was):
		return k.start(ctx)
	case rec.Was.ActiveState == "activating":
		return k.tryStart(ctx)
	}
	return k.stop(ctx)
}

func (a *unit) undoFiles(ctx context.Context, k control, rec record) error {
	if rec.Enable == nil && rec.Mask == nil {
		return nil
	}
	if err := a.restoreLinks(rec.Links); err != nil {
		return err
	}
	return k.readFiles(ctx)
}

// states is a unit's state with its sub-state where that says more.
func states(u engine.UnitFact) string {
	if u.SubState == u.ActiveState {
		return u.ActiveState
	}
	return u.ActiveState + ", " + u.SubState
}
