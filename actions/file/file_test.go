package file

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/host"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Progress(engine.Progress) {}

var local = host.NewLocal(&engine.Registry{Actions: Actions()})

// step is a step that is planned on this machine.
func step(t *testing.T, action string, config map[string]any, under ...engine.Effect) (engine.StepRequest, engine.Change, error) {
	t.Helper()
	i := slices.IndexFunc(Actions(), func(s engine.Spec) bool { return s.Name == action })
	for _, a := range Actions()[i].Attributes {
		if _, set := config[a.Name]; !set {
			config[a.Name] = nil
			if a.Default != cty.NilVal {
				config[a.Name] = ctyjson.SimpleJSONValue{Value: a.Default}
			}
		}
	}
	raw, err := json.Marshal(config)
	must(t, err)
	req := engine.StepRequest{Run: engine.RunInfo{ID: "r1"}, Action: action, Config: raw, Effects: under}
	c, err := local.Plan(t.Context(), req)
	req.Effects = nil
	return req, c, err
}

// write makes a file with its parents.
func write(t *testing.T, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(path), 0o644))
}

func TestWalkOrderIsThatOfWalkDir(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"a/b/c", "a.b", "a/b.c", "a-/x", "ab", "é/x", "A"} {
		write(t, filepath.Join(dir, f))
	}
	var paths []string
	must(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		paths = append(paths, strings.TrimPrefix(p, dir))
		return err
	}))
	for i := range paths {
		for j := range paths {
			if walkOrder(paths[i], paths[j]) != (i < j) {
				t.Errorf("walkOrder(%q, %q) is %v", paths[i], paths[j], i >= j)
			}
		}
	}
}

func TestOneOwnerIsOneRun(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"a/1", "a/2", "b/1", "b/2", "c"} {
		write(t, filepath.Join(dir, f))
	}
	_, c, err := step(t, "chown", map[string]any{"path": dir, "owner": "1:1", "recursive": true})
	must(t, err)
	var o ownership
	must(t, c.GetData(&o))
	if n := recordsIn(t, o.Log); n != 1 {
		t.Errorf("%d records", n)
	}
	if note := c.Items[0].Note; note != "8 of 8 entries" {
		t.Errorf("note %q", note)
	}
}

// A symbolic link that takes a directory's place while the walk is in it must
// not lead anywhere.
func TestWalkIsNotLedOutOfTheTree(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data/sub/file"))
	write(t, filepath.Join(dir, "outside/file"))
	err := walkTree(t.Context(), filepath.Join(dir, "data"), true, func(e entry) error {
		if filepath.Base(e.path) == "sub" {
			must(t, os.Rename(e.path, filepath.Join(dir, "away")))
			must(t, os.Symlink("../outside", e.path))
		}
		return e.chown(ids{1, 1})
	})
	must(t, err)
	for name, want := range map[string]uint32{"outside": 0, "outside/file": 0, "away": 1, "away/file": 1} {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, name), &st))
		if st.Uid != want {
			t.Errorf("%s belongs to %d, want %d", name, st.Uid, want)
		}
	}
}

func TestWalkStaysInItsMount(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data/bound/x"))
	write(t, filepath.Join(dir, "outside/file"))
	must(t, unix.Mount(filepath.Join(dir, "outside"), filepath.Join(dir, "data/bound"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(filepath.Join(dir, "data/bound"), 0)) })
	var seen []string
	must(t, walkTree(t.Context(), filepath.Join(dir, "data"), true, func(e entry) error {
		seen = append(seen, filepath.Base(e.path))
		return nil
	}))
	if !slices.Equal(seen, []string{"data"}) {
		t.Errorf("visited %q", seen)
	}
}

func TestUndoLeavesWhatOthersHaveGivenAway(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ours"))
	write(t, filepath.Join(dir, "theirs"))
	req, c, err := step(t, "chown", map[string]any{"path": dir, "owner": "1:1", "recursive": true})
	must(t, err)
	_, err = local.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	must(t, os.Chown(filepath.Join(dir, "theirs"), 77, 77))
	must(t, local.Undo(t.Context(), req, c, quiet{}))
	for name, want := range map[string]uint32{"ours": 0, "theirs": 77} {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, name), &st))
		if st.Uid != want {
			t.Errorf("%s belongs to %d, want %d", name, st.Uid, want)
		}
	}
}

func TestCancelledChownStops(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"))
	req, c, err := step(t, "chown", map[string]any{"path": dir, "owner": "1:1", "recursive": true})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := local.Apply(ctx, req, c, quiet{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestMoveIsDone(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b"))
	_, c, err := step(t, "move", map[string]any{"from": dir + "/a", "to": dir + "/b"})
	if err != nil || !c.Empty() {
		t.Errorf("got %v, %v; want nothing to do", c.Items, err)
	}
}

// What has come in the way since the plan is never touched.
func TestMoveMeetsStrangers(t *testing.T) {
	for name, c := range map[string]struct {
		meddle func(from, to string) error
		want   string
	}{
		"replaced":   {func(from, _ string) error { return os.Rename(from+".other", from) }, "something else is here"},
		"occupied":   {func(from, to string) error { return os.Rename(from+".other", to) }, "something has appeared here"},
		"vanished":   {func(from, _ string) error { return os.Rename(from, from+".elsewhere") }, "it is neither here nor at"},
		"parentless": {func(_, to string) error { return os.Remove(filepath.Dir(to)) }, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, to := dir+"/from", dir+"/sub/to"
			write(t, from)
			write(t, from+".other")
			must(t, os.Mkdir(dir+"/sub", 0o755))
			req, change, err := step(t, "move", map[string]any{"from": from, "to": to})
			must(t, err)
			must(t, c.meddle(from, to))
			if _, err := local.Apply(t.Context(), req, change, quiet{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestUndoOfMoveReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a")
	req, c, err := step(t, "move", map[string]any{"from": dir + "/a", "to": dir + "/b"})
	must(t, err)
	_, err = local.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	write(t, dir+"/a")
	if err := local.Undo(t.Context(), req, c, quiet{}); err == nil || !strings.Contains(err.Error(), "has appeared here") {
		t.Errorf("got %v", err)
	}
}

func TestPlannedUnderEffects(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/data/x")
	aside := engine.Effect{Moved: &engine.Moved{From: dir + "/data", To: dir + "/old"}, Step: "aside"}
	made := engine.Effect{Step: "restore", Created: &engine.Created{Fact: engine.PathFact{
		Path: dir + "/data", Type: engine.TypeDirectory, Owner: "root", Group: "root", Mode: 0o700}}}
	_, c, err := step(t, "chown", map[string]any{"path": dir + "/data", "owner": "1:1", "recursive": true}, aside, made)
	must(t, err)
	if c.Items[0].Before != "root:root" {
		t.Errorf("before: %q", c.Items[0].Before)
	}
	_, c, err = step(t, "remove", map[string]any{"path": dir + "/data"}, aside)
	if err != nil || !c.Empty() {
		t.Errorf("removing what is gone by then: %v, %v", c.Items, err)
	}
	_, _, err = step(t, "move", map[string]any{"from": dir + "/other", "to": dir + "/old"}, aside)
	if err != nil {
		t.Errorf("moving what will be there already: %v", err)
	}
}
