package engine_test

import (
	"testing"

	"runbook/engine"
)

// TestNamesOfWhatIsKept holds that two changes are the same where what they
// replace is kept by other names, which depend on those that are free, and
// nothing else is.
func TestNamesOfWhatIsKept(t *testing.T) {
	change := func(kept, after string) engine.Change {
		return engine.Change{Kept: []string{kept}, Items: []engine.Item{
			{Target: "/data", Before: "existing data", After: after},
			{Target: kept, Before: "absent", After: "the old data"},
		}}
	}
	planned := change("/data.before-1", "snapshot a")
	if !change("/data.before-1.2", "snapshot a").SameAs(planned) {
		t.Error("another free name is taken for another change")
	}
	if change("/data.before-1.2", "snapshot b").SameAs(planned) {
		t.Error("another snapshot is taken for the same change")
	}
	for name, other := range map[string]func(*engine.Change){
		"not kept":           func(c *engine.Change) { c.Kept = nil },
		"kept as the second": func(c *engine.Change) { c.Kept = []string{"/data.before-1", "/data.before-1.2"} },
	} {
		c := change("/data.before-1.2", "snapshot a")
		if other(&c); c.SameAs(planned) {
			t.Errorf("%s: it is taken for the same change", name)
		}
	}
}
