package systemd

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Data lists the data sources on units.
func Data() []engine.DataSpec { return []engine.DataSpec{unitDataSpec} }

var unitDataSpec = engine.DataSpec{
	Name: "unit",
	Doc: "What systemd says of a unit when the run begins. A unit that systemd doesn't know is no error. " +
		"In a condition, unit(NAME) reads it afresh.",
	Attributes: []engine.Attribute{
		{Name: "name", Type: cty.String, Required: true, Check: checkNameValue,
			Doc: "The unit's name with its type, such as etcd.service."},
	},
	Results: []engine.Attribute{
		{Name: "load_state", Type: cty.String, Doc: "loaded, not-found, masked, bad-setting, error."},
		{Name: "active_state", Type: cty.String, Doc: "active, inactive, failed, activating, deactivating, reloading."},
		{Name: "sub_state", Type: cty.String, Doc: "The finer state: running, exited, dead."},
		{Name: "unit_file_state", Type: cty.String, Doc: "enabled, disabled, static, masked and so on; empty where there is no unit file."},
		{Name: "active", Type: cty.Bool, Doc: "Whether it runs."},
		{Name: "main_pid", Type: cty.Number, Doc: "The main process's number; 0 if there is none."},
		{Name: "invocation_id", Type: cty.String, Doc: "The id that systemd gave this start of the unit; empty if it was never started."},
		{Name: "result", Type: cty.String, Doc: "How it last ended: success, exit-code, timeout."},
		{Name: "fragment_path", Type: cty.String, Doc: "The unit's file; empty where there is none."},
		{Name: "drop_in_paths", Type: cty.List(cty.String), Doc: "The files that add to it."},
		{Name: "restarts", Type: cty.Number, Doc: "How often systemd restarted it by itself since it was last started."},
		{Name: "log", Type: cty.String, Doc: "The last lines that it logged; empty where there is no journal."},
	},
	Example: `data "unit" "etcd" {
  name = "etcd.service"
}`,
	New: func() engine.DataSource { return new(unitData) },
}

type unitData struct {
	Name string `cty:"name"`
}

var _ engine.DataSource = (*unitData)(nil)

// Read implements engine.DataSource.
func (d *unitData) Read(ctx context.Context, _ engine.World) (engine.Result, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	props, err := conn.properties(ctx, d.Name)
	if err != nil {
		return nil, err
	}
	u := fact(d.Name, props)
	dropIns, _ := props["DropInPaths"].([]string)
	return engine.Result{
		"load_state": u.LoadState, "active_state": u.ActiveState, "sub_state": u.SubState,
		"unit_file_state": u.UnitFileState, "active": active(u), "main_pid": u.MainPID,
		"invocation_id": u.InvocationID, "result": u.Result,
		"fragment_path": text(props["FragmentPath"]), "drop_in_paths": append([]string{}, dropIns...),
		"restarts": number(props["NRestarts"]), "log": lastLines(ctx, d.Name),
	}, nil
}
