package main

import (
	"encoding/json"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"

	"runbook/cmd/runbook/view"
	"runbook/engine"
)

// drillAction is the action that a drill is.
const drillAction = "etcd_snapshot_drill"

func (a *app) drillCommand() *cobra.Command {
	var scratch string
	var maxBytes int64
	cmd := addJSONFlag(&cobra.Command{
		Use:   "drill BACKUP",
		Short: "Rehearse a recovery: tell whether a backup would have saved you, and how long it would have taken",
		Long: `Rehearse a recovery from BACKUP, a snapshot of etcd: tell whether it would have
saved you, and how long it would have taken. It is verified and restored into a
directory of its own, a real etcd is started there, every key is compared, and
all of it is thrown away. The etcd that runs isn't touched, and the drill gets
only what of processors and disks nobody else wants.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			backup, err := filepath.Abs(args[0])
			if err != nil {
				return engine.Errorf(args[0], "finding it: %w", err)
			}
			set := map[string]cty.Value{"snapshot": cty.StringVal(backup), "must_save": cty.False}
			if cmd.Flags().Changed("scratch") {
				if scratch, err = filepath.Abs(scratch); err != nil {
					return engine.Errorf("--scratch", "finding it: %w", err)
				}
				set["scratch"] = cty.StringVal(scratch)
			}
			if cmd.Flags().Changed("max-bytes") {
				set["max_bytes"] = cty.NumberIntVal(maxBytes)
			}
			return a.drill(backup, set)
		},
	})
	cmd.Flags().StringVar(&scratch, "scratch", "/var/tmp", "work below `DIR`, best on a disk like that of etcd's data")
	cmd.Flags().Int64Var(&maxBytes, "max-bytes", 0, "take no more of the disk than so many bytes (default half of what is free)")
	return cmd
}

func (a *app) drill(backup string, set map[string]cty.Value) error {
	spec, _ := a.registry().Action(drillAction)
	config, err := configOf(spec, set)
	if err != nil {
		return err
	}
	req := engine.StepRequest{Run: engine.RunInfo{ID: "drill"}, Action: spec.Name, Config: config}
	// A drill leaves nothing half-way, so the first Ctrl-C ends it.
	res, err := a.host().Apply(a.stop, req, engine.Change{}, told{a.view})
	if err != nil {
		return err
	}
	d, err := view.NewDrill(backup, res)
	if err != nil {
		return err
	}
	a.view.Drill(d)
	if !d.Saved {
		a.code = exitError
	}
	return nil
}

// configOf is an action's configuration: what is set, and its defaults.
func configOf(spec engine.Spec, set map[string]cty.Value) (json.RawMessage, error) {
	vals := map[string]cty.Value{}
	for _, at := range spec.Attributes {
		v, ok := set[at.Name]
		switch {
		case ok && at.Check != nil:
			if err := at.Check(v); err != nil {
				return nil, engine.Errorf(at.Name, "%w", err)
			}
		case !ok && at.Default != cty.NilVal:
			v = at.Default
		case !ok:
			v = cty.NullVal(at.Type)
		}
		vals[at.Name] = v
	}
	return engine.EncodeConfig(spec.Attributes, cty.ObjectVal(vals))
}

// told tells a person what is being done. A program wants the result alone.
type told struct{ view view.View }

func (t told) Progress(p engine.Progress) {
	if t.view.Asks() {
		t.view.Note("%s …", p.Doing)
	}
}
