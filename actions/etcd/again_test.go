package etcd

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"runbook/engine"
)

// again is a member with two snapshots: a is the fixture's, with fewer keys than
// b, and both are restored in one run, with one token.
type again struct {
	fixture
	b    string
	a, z engine.StepRequest
}

func newAgain(t *testing.T) again {
	t.Helper()
	f := newFixture(t)
	x := again{fixture: f, b: filepath.Join(f.dir, "b.db")}
	data, err := os.ReadFile(filepath.Join(f.data, "member", "snap", "db"))
	must(t, err)
	must(t, os.WriteFile(x.b, data, 0o600))
	x.a, x.z = x.restore(t, "first", f.snapshot), x.restore(t, "second", x.b)
	return x
}

// step is a step of the run that has a name of its own.
func (x again) step(t *testing.T, name, action string, a attrs) engine.StepRequest {
	t.Helper()
	req := request(t, action, a)
	req.Run.Step = name
	return req
}

func (x again) restore(t *testing.T, name, snapshot string) engine.StepRequest {
	t.Helper()
	a := x.attrs()
	a["snapshot"], a["initial_cluster_token"] = snapshot, "one-token"
	return x.step(t, name, "etcd_snapshot_restore", a)
}

func (x again) salvage(t *testing.T, name string) engine.StepRequest {
	t.Helper()
	return x.step(t, name, "etcd_salvage", attrs{"member": x.attrs()["member"], "initial_cluster_token": "one-token"})
}

// holds fails unless the directory holds what the snapshot does.
func (x again) holds(t *testing.T, dir, snapshot string) {
	t.Helper()
	got, want := mustInspect(t, filepath.Join(dir, "member", "snap", "db")), mustInspect(t, snapshot)
	if got.ContentHash != want.ContentHash || got.Keys != want.Keys {
		t.Errorf("%s has %d keys, and not what %s has, %d", dir, got.Keys, snapshot, want.Keys)
	}
}

func record(t *testing.T, c engine.Change) *restored {
	t.Helper()
	r := &restored{}
	must(t, c.GetData(r))
	return r
}

func under(req engine.StepRequest, effects ...engine.Effect) engine.StepRequest {
	req.Effects = effects
	return req
}

// TestRestoreAgain restores a directory twice in one run: the second restore
// does what its plan says, and both are undone.
func TestRestoreAgain(t *testing.T) {
	x := newAgain(t)
	before := tree(t, x.data)
	first := plan(t, x.a)
	planned := plan(t, under(x.z, first.Effects...))
	if slices.Equal(planned.Kept, first.Kept) {
		t.Errorf("both are planned to keep the old data at %q", planned.Kept)
	}
	apply(t, x.a, first)
	second := plan(t, x.z)
	if !second.SameAs(planned) || !slices.Equal(second.Kept, planned.Kept) {
		t.Errorf("it was planned to change %+v, and now %+v", planned.Items, second.Items)
	}
	res := apply(t, x.z, second)
	apply(t, x.z, second)
	x.holds(t, x.data, x.b)
	x.holds(t, res["kept"].(string), x.snapshot)
	if tree(t, x.data+".before-run1") != before {
		t.Error("the old data isn't where the first restore has kept it")
	}
	if done := plan(t, x.z); !done.Empty() {
		t.Errorf("the second restore is done, and planned again: %+v", done.Items)
	}
	undo(t, x.z, second)
	x.holds(t, x.data, x.snapshot)
	undo(t, x.a, first)
	if tree(t, x.data) != before {
		t.Error("undo didn't put the old data back")
	}
	for _, aside := range slices.Concat(first.UndoKept, second.UndoKept) {
		if _, err := os.Stat(aside); err != nil {
			t.Errorf("undo didn't keep what was restored: %v", err)
		}
	}
}

// TestRestoreAgainInterrupted kills the second restore wherever that leaves
// something else, and goes on.
func TestRestoreAgainInterrupted(t *testing.T) {
	x := newAgain(t)
	apply(t, x.a, plan(t, x.a))
	between := tree(t, x.data)
	c := plan(t, x.z)
	r := record(t, c)
	s := r.Data
	exchange := func() {
		must(t, os.Rename(s.Target, s.Target+".x"))
		must(t, os.Rename(s.New, s.Target))
		must(t, os.Rename(s.Target+".x", s.New))
	}
	for name, build := range map[string]func(){
		"half staged":     func() { must(t, os.MkdirAll(filepath.Join(s.Partial, "member", "snap"), 0o700)) },
		"staged":          func() { must(t, r.stage(t.Context(), quiet{})) },
		"between renames": func() { must(t, r.stage(t.Context(), quiet{})); must(t, os.Rename(s.Target, s.Kept)) },
		"exchanged":       func() { must(t, r.stage(t.Context(), quiet{})); exchange() },
		"in place":        func() { apply(t, x.z, c) },
	} {
		t.Run(name, func(t *testing.T) {
			build()
			now := plan(t, x.z)
			if now.Empty() != (name == "in place") || !now.Empty() && (!now.SameAs(c) || record(t, now).Data.Kept != s.Kept) {
				t.Errorf("planned again: %+v", now.Items)
			}
			apply(t, x.z, c)
			x.holds(t, x.data, x.b)
			undo(t, x.z, c)
			if tree(t, x.data) != between {
				t.Error("undo didn't put back what the first restore had made")
			}
		})
	}
}

// TestRestoreAfterOneThatFailed goes on with another snapshot after a restore
// that had come to nothing, or to no more than a directory beside the old one.
// The plan, made in the belief that it would work, still holds.
func TestRestoreAfterOneThatFailed(t *testing.T) {
	for name, got := range map[string]func(r *restored){
		"nothing done": func(*restored) {},
		"half staged":  func(r *restored) { must(t, os.MkdirAll(r.Data.Partial, 0o700)) },
		"staged":       func(r *restored) { must(t, r.stage(t.Context(), quiet{})) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newAgain(t)
			before := tree(t, x.data)
			first := plan(t, x.a)
			planned := plan(t, under(x.z, first.Effects...))
			got(record(t, first))
			second := plan(t, x.z)
			if !second.SameAs(planned) {
				t.Errorf("it was planned to change %+v, and now %+v", planned.Items, second.Items)
			}
			if name == "nothing done" && second.Kept[0] != x.data+".before-run1" {
				t.Errorf("the old data is kept at %q", second.Kept)
			}
			apply(t, x.z, second)
			x.holds(t, x.data, x.b)
			if tree(t, second.Kept[0]) != before {
				t.Error("what is kept isn't the old data")
			}
			undo(t, x.z, second)
			undo(t, x.a, first)
			if tree(t, x.data) != before {
				t.Error("undo didn't put the old data back")
			}
		})
	}
}

// TestRestoreAgainWithoutOldData restores twice where there was nothing.
func TestRestoreAgainWithoutOldData(t *testing.T) {
	x := newAgain(t)
	must(t, os.RemoveAll(x.data))
	first := plan(t, x.a)
	planned := plan(t, under(x.z, first.Effects...))
	apply(t, x.a, first)
	second := plan(t, x.z)
	if !second.SameAs(planned) {
		t.Errorf("it was planned to change %+v, and now %+v", planned.Items, second.Items)
	}
	res := apply(t, x.z, second)
	x.holds(t, x.data, x.b)
	if res["kept"] == "" {
		t.Fatal("the second restore keeps nothing of what the first has made")
	}
	x.holds(t, res["kept"].(string), x.snapshot)
	undo(t, x.z, second)
	x.holds(t, x.data, x.snapshot)
	undo(t, x.a, first)
	if _, err := os.Stat(x.data); !os.IsNotExist(err) {
		t.Error("the data directory is still there after undo")
	}
	if slices.Equal(first.UndoKept, second.UndoKept) {
		t.Errorf("both set aside what they restored at %q", first.UndoKept)
	}
}

// TestRestoreTheSameAgain restores one snapshot in two steps. By the second,
// etcd may have written to what the first has made.
func TestRestoreTheSameAgain(t *testing.T) {
	x := newAgain(t)
	apply(t, x.a, plan(t, x.a))
	s := start(t, x.data, "m1", "")
	s.put(0, 50)
	s.stop()
	third := x.restore(t, "third", x.snapshot)
	apply(t, third, plan(t, third))
	x.holds(t, x.data, x.snapshot)
}

// TestRestoreAsRollback restores in a step's rollback block, which bears the
// step's name, where the step itself restores another snapshot.
func TestRestoreAsRollback(t *testing.T) {
	x := newAgain(t)
	apply(t, x.a, plan(t, x.a))
	block := x.restore(t, x.a.Run.Step, x.b)
	apply(t, block, plan(t, block))
	x.holds(t, x.data, x.b)
}

// TestSalvageAgain salvages what a salvage and a restore have made, and restores
// after that.
func TestSalvageAgain(t *testing.T) {
	x := newAgain(t)
	before := tree(t, x.data)
	var done []engine.StepRequest
	var changes []engine.Change
	for i, req := range []engine.StepRequest{x.salvage(t, "s1"), x.a, x.salvage(t, "s2"), x.z} {
		c := plan(t, req)
		if slices.ContainsFunc(changes, func(o engine.Change) bool { return slices.Equal(o.Kept, c.Kept) }) {
			t.Errorf("step %d keeps the old data where another does: %q", i, c.Kept)
		}
		apply(t, req, c)
		done, changes = append(done, req), append(changes, c)
		x.holds(t, x.data, []string{x.b, x.snapshot, x.snapshot, x.b}[i])
	}
	for i, req := range slices.Backward(done) {
		undo(t, req, changes[i])
	}
	if tree(t, x.data) != before {
		t.Error("undo didn't put the old data back")
	}
}

// TestSalvagePredicted plans a salvage of what an earlier step will have made:
// that isn't known before.
func TestSalvagePredicted(t *testing.T) {
	x := newAgain(t)
	for _, before := range []engine.StepRequest{x.a, x.salvage(t, "s1")} {
		effects := plan(t, before).Effects
		for i := range effects {
			effects[i].Step = before.Run.Step
		}
		var unknown *engine.UnknownError
		if _, err := testHost.Plan(t.Context(), under(x.salvage(t, "s2"), effects...)); !errors.As(err, &unknown) || unknown.Step != before.Run.Step {
			t.Errorf("after %s: %v", before.Action, err)
		}
	}
}

// TestRestoreAgainSeparateLog restores twice with a log of its own place, after a
// restore that was done and one that had made no more than the log.
func TestRestoreAgainSeparateLog(t *testing.T) {
	for name, got := range map[string]func(t *testing.T, req engine.StepRequest, c engine.Change){
		"done": func(t *testing.T, req engine.StepRequest, c engine.Change) { apply(t, req, c) },
		"log staged": func(t *testing.T, _ engine.StepRequest, c engine.Change) {
			must(t, os.MkdirAll(record(t, c).WAL.New, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newAgain(t)
			wal := filepath.Join(x.dir, "wal")
			must(t, os.Rename(filepath.Join(x.data, "member", "wal"), wal))
			before := tree(t, x.data) + tree(t, wal)
			a, z := x.attrs(), x.attrs()
			a["wal_dir"], z["wal_dir"], z["snapshot"] = wal, wal, x.b
			x.a, x.z = x.step(t, "first", "etcd_snapshot_restore", a), x.step(t, "second", "etcd_snapshot_restore", z)
			first := plan(t, x.a)
			got(t, x.a, first)
			between := tree(t, x.data) + tree(t, wal)
			second := plan(t, x.z)
			apply(t, x.z, second)
			x.holds(t, x.data, x.b)
			start(t, x.data, "m1", wal).stop()
			undo(t, x.z, second)
			if tree(t, x.data)+tree(t, wal) != between {
				t.Error("undo didn't put back what the first restore had left")
			}
			undo(t, x.a, first)
			if tree(t, x.data)+tree(t, wal) != before {
				t.Error("undo didn't put the old data back")
			}
		})
	}
}
