package run

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2"

	"runbook/engine"
)

// Fingerprint is how a target looked when the plan was made. Targets that
// earlier steps of the plan change have none.
type Fingerprint struct {
	Target string `json:"target"` // an absolute path
	Looks  string `json:"looks"`
}

// looks describes what must not change between plan and run. A directory's
// time changes with whatever happens inside it, so it doesn't count.
func looks(f engine.PathFact) string {
	if !f.Exists {
		return "absent"
	}
	text := fmt.Sprintf("%s, mode %04o, owner %d:%d, inode %d", f.Type, f.Mode, f.UID, f.GID, f.Inode)
	switch f.Type {
	case engine.TypeFile:
		text += fmt.Sprintf(", %d bytes, modified %s", f.Size, f.ModTime.UTC().Format(time.RFC3339Nano))
	case engine.TypeSymlink:
		text += " to " + f.Link
	}
	return text
}

// fingerprints are those of a change's targets that no effect has touched.
func fingerprints(ctx context.Context, host engine.Host, c engine.Change, under []engine.Effect) ([]Fingerprint, error) {
	var all []Fingerprint
	seen := map[string]bool{}
	for _, it := range c.Items {
		if !filepath.IsAbs(it.Target) || seen[it.Target] {
			continue
		}
		seen[it.Target] = true
		now, err := host.Stat(ctx, it.Target, false, nil)
		if err != nil {
			return nil, err
		}
		then, err := host.Stat(ctx, it.Target, false, under)
		if err == nil && looks(then) == looks(now) {
			all = append(all, Fingerprint{Target: it.Target, Looks: looks(now)})
		}
	}
	return all, nil
}

// moved reports a target of a step that doesn't look as it did when the plan
// was made.
func (r *Runner) moved(ctx context.Context, u *unit, planned StepPlan) (*hcl.Diagnostic, error) {
	for _, f := range planned.Fingerprints {
		now, err := r.host.Stat(ctx, f.Target, false, nil)
		if err != nil {
			return nil, err
		}
		if looks(now) != f.Looks {
			return drifted(u, "with\n  "+f.Target+": "+f.Looks, "now finds\n  "+f.Target+": "+looks(now), r.id()), nil
		}
	}
	return nil, nil
}
