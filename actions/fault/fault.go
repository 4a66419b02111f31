// Package fault holds the actions that do damage on purpose, so that a recovery
// can be rehearsed. What they destroy is saved first, and their undo brings it
// back.
package fault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Actions lists the actions that do damage.
func Actions() []engine.Spec {
	return []engine.Spec{truncateSpec, scribbleSpec, removeSpec, fillDiskSpec, killProcessSpec, networkSpec, scoreSpec}
}

// onlyInDrills ends the Doc of every fault.
const onlyInDrills = " Only a runbook with drill = true can have it as a step."

var keepIn = engine.Attribute{
	Name: "keep_in", Type: cty.String, Default: cty.StringVal("/var/lib/runbook/drills"), Check: checkPath,
	Doc: "Directory in which what is destroyed is saved first, on a disk that has room for it.",
}

// keptAt is where a step saves what it is about to destroy.
func keptAt(dir string, run engine.RunInfo) string {
	step := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/"[] `, r) {
			return '_'
		}
		return r
	}, run.Step)
	return filepath.Join(dir, step+"-"+digest(run.Step)+"-"+run.ID)
}

// digest tells a step's name from all others where there is no room for it.
func digest(step string) string {
	sum := sha256.Sum256([]byte(step))
	return hex.EncodeToString(sum[:6])
}

// existing returns the fact of what is at path, which has to be of type typ
// where that is set.
func existing(ctx context.Context, w engine.World, path, typ string) (engine.PathFact, error) {
	fact, err := w.Stat(ctx, path)
	switch {
	case err != nil:
		return fact, err
	case !fact.Exists:
		return fact, engine.Errorf(path, "there is nothing to damage").WithHint("Name what is there, or damage it first and something else afterwards.").WithAttribute("path")
	case typ != "" && fact.Type != typ:
		return fact, engine.Errorf(path, "it is a %s and no %s", fact.Type, typ).WithHint("Name a %s.", typ).WithAttribute("path")
	}
	return fact, nil
}

func checkPath(v cty.Value) error {
	if !filepath.IsAbs(v.AsString()) {
		return errors.New("the path must be absolute: it has to mean the same wherever the run is started")
	}
	return nil
}

func checkCount(v cty.Value) error { return checkWhole(v, 0, 1<<50) }

func checkWhole(v cty.Value, least, most int64) error {
	if n, acc := v.AsBigFloat().Int64(); acc != big.Exact || n < least || n > most {
		return fmt.Errorf("it has to be a whole number from %d to %d", least, most)
	}
	return nil
}
