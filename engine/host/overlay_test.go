package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// fakeFacts is a host whose one unit runs.
type fakeFacts struct{}

func (fakeFacts) Unit(_ context.Context, name string) (engine.UnitFact, error) {
	return engine.UnitFact{Name: name, LoadState: "loaded", ActiveState: "active", MainPID: 7}, nil
}

// tree makes dir/data with two files below it, and dir/other.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []string{"data/a/one", "data/a.b", "other/x"} {
		path := filepath.Join(dir, f)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(f), 0o644))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func moved(from, to string) engine.Effect {
	return engine.Effect{Moved: &engine.Moved{From: from, To: to}, Step: "mover"}
}

func removed(path string) engine.Effect {
	return engine.Effect{Removed: &engine.Removed{Path: path}, Step: "remover"}
}

func created(path string, bytes int64) engine.Effect {
	return engine.Effect{Step: "creator", Created: &engine.Created{Bytes: bytes,
		Fact: engine.PathFact{Path: path, Type: engine.TypeDirectory, UID: 12, GID: 34, Owner: "etcd", Group: "etcd", Mode: 0o700}}}
}

func copied(from, to string) engine.Effect {
	return engine.Effect{Copied: &engine.Copied{From: from, To: to, Bytes: 100 << 10}, Step: "copier"}
}

func empty(path string) engine.Effect {
	e := created(path, 0)
	e.Created.Empty = true
	return e
}

func owned(path string, uid int, recursive bool) engine.Effect {
	return engine.Effect{Step: "owner", Owned: &engine.Owned{Path: path, UID: uid, GID: uid, Owner: "u", Group: "g", Recursive: recursive}}
}

// seen is what the world says of a path: its type and owner, "absent", or the
// step after which it is known.
func seen(t *testing.T, w *overlay, path string) string {
	t.Helper()
	f, err := w.Stat(t.Context(), path)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		return "known after " + unknown.Step
	}
	must(t, err)
	switch {
	case f.Path != path:
		t.Errorf("Stat(%s) names %s", path, f.Path)
	case !f.Exists:
		return "absent"
	}
	return f.Type + " of " + map[int]string{0: "root", 12: "etcd"}[f.UID] + strings.Repeat("u", f.UID/1000)
}

// over is the world under effects.
func over(facts engine.Facts, effects ...engine.Effect) *overlay {
	past := &history{}
	past.add(effects)
	return newOverlay(facts, engine.RunInfo{}, past)
}

func TestStatUnderEffects(t *testing.T) {
	d := tree(t)
	data, other := d+"/data", d+"/other"
	for _, c := range []struct {
		name    string
		effects []engine.Effect
		path    string
		want    string
	}{
		{"nothing planned", nil, data, "directory of root"},
		{"nothing there", nil, d + "/none", "absent"},
		{"parent is a file", nil, data + "/a.b/below", "absent"},
		{"moved away", []engine.Effect{moved(data, d+"/new")}, data, "absent"},
		{"below what moved away", []engine.Effect{moved(data, d+"/new")}, data + "/a/one", "absent"},
		{"moved here", []engine.Effect{moved(data, d+"/new")}, d + "/new/a/one", "file of root"},
		{"a name that only begins alike", []engine.Effect{moved(data+"/a", d+"/new")}, data + "/a.b", "file of root"},
		{"moved twice", []engine.Effect{moved(data, d+"/p"), moved(d+"/p", d+"/q")}, d + "/q/a.b", "file of root"},
		{"moved and back", []engine.Effect{moved(data, d+"/p"), moved(d+"/p", data)}, data, "directory of root"},
		{"moved away, another in its place", []engine.Effect{moved(data, d+"/p"), moved(other, data)}, data + "/x", "file of root"},
		{"the old one below the new", []engine.Effect{moved(data, d+"/p"), moved(other, data)}, data + "/a.b", "absent"},
		{"removed", []engine.Effect{removed(data)}, data + "/a", "absent"},
		{"removed, then created", []engine.Effect{removed(data), created(data, 0)}, data, "directory of etcd"},
		{"below what is created", []engine.Effect{created(data, 0)}, data + "/a", "known after creator"},
		{"created, then moved", []engine.Effect{created(d+"/n", 0), moved(d+"/n", d+"/m")}, d + "/m", "directory of etcd"},
		{"created, then removed", []engine.Effect{created(d+"/n", 0), removed(d + "/n")}, d + "/n", "absent"},
		{"owned", []engine.Effect{owned(data, 1000, false)}, data, "directory of u"},
		{"below, not recursively", []engine.Effect{owned(data, 1000, false)}, data + "/a", "directory of root"},
		{"below, recursively", []engine.Effect{owned(data, 1000, true)}, data + "/a", "directory of u"},
		{"owned twice", []engine.Effect{owned(data, 1000, true), owned(data+"/a", 2000, true)}, data + "/a/one", "file of uu"},
		{"owned, then moved", []engine.Effect{owned(data, 1000, true), moved(data, d+"/n")}, d + "/n/a", "directory of u"},
		{"moved, then owned", []engine.Effect{moved(data, d+"/n"), owned(d+"/n", 1000, true)}, d + "/n/a", "directory of u"},
		{"created, then owned", []engine.Effect{created(d+"/n", 0), owned(d+"/n", 1000, true)}, d + "/n", "directory of u"},
		{"owned, then created anew", []engine.Effect{owned(data, 1000, true), created(data, 0)}, data, "directory of etcd"},
		{"copied", []engine.Effect{copied(data, d+"/n")}, d + "/n/a/one", "file of root"},
		{"the origin of a copy", []engine.Effect{copied(data, d+"/n")}, data, "directory of root"},
		{"not in the origin, not in the copy", []engine.Effect{copied(data, d+"/n")}, d + "/n/none", "absent"},
		{"copied, then the origin moved", []engine.Effect{copied(data, d+"/n"), moved(data, d+"/p")}, d + "/n/a", "directory of root"},
		{"copied, then owned", []engine.Effect{copied(data, d+"/n"), owned(d+"/n", 1000, true)}, d + "/n/a", "directory of u"},
		{"copied, then the origin owned", []engine.Effect{copied(data, d+"/n"), owned(data, 1000, true)}, d + "/n/a", "directory of root"},
		{"owned, then copied", []engine.Effect{owned(data, 1000, true), copied(data, d+"/n")}, d + "/n/a", "directory of u"},
		{"copied, then moved", []engine.Effect{copied(data, d+"/n"), moved(d+"/n", d+"/m")}, d + "/m/a.b", "file of root"},
		{"below an empty directory", []engine.Effect{empty(d + "/n")}, d + "/n/x", "absent"},
		{"put into an empty directory", []engine.Effect{empty(d + "/n"), moved(data, d+"/n/x")}, d + "/n/x/a", "directory of root"},
		{"anything may have happened", []engine.Effect{{Anything: true, Step: "script"}}, data, "known after script"},
		{"decided since", []engine.Effect{{Anything: true, Step: "script"}, removed(data)}, data, "absent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := seen(t, over(nil, c.effects...), c.path); got != c.want {
				t.Errorf("%s: got %s, want %s", c.path, got, c.want)
			}
		})
	}
}

// TestModeUnderEffects holds that a mode that a step sets is seen by those after
// it, and that the kernel takes special bits from a file that changes hands.
func TestModeUnderEffects(t *testing.T) {
	d := tree(t)
	data := d + "/data"
	tool, group, locked := data+"/tool", data+"/group", data+"/locked"
	must(t, unix.Chmod(data, 0o2755))
	for path, mode := range map[string]uint32{tool: 0o4755, group: 0o2755, locked: 0o2644} {
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, unix.Chmod(path, mode))
	}
	private := owned(data, 0, false)
	private.Owned.Mode = new(uint32(0o700))
	public := owned(data, 0, false)
	public.Owned.Mode = new(uint32(0o755))
	for _, c := range []struct {
		name    string
		effects []engine.Effect
		path    string
		want    uint32
	}{
		{"nothing planned", nil, data, 0o2755},
		{"set", []engine.Effect{private}, data, 0o700},
		{"set twice", []engine.Effect{private, public}, data, 0o755},
		{"set, then owned", []engine.Effect{private, owned(data, 1000, true)}, data, 0o700},
		{"set, then moved", []engine.Effect{private, moved(data, d+"/n")}, d + "/n", 0o700},
		{"set, then copied", []engine.Effect{private, copied(data, d+"/n")}, d + "/n", 0o700},
		{"copied, then set", []engine.Effect{copied(data, d+"/n"), private}, d + "/n", 0o2755},
		{"set, then created anew", []engine.Effect{public, created(data, 0)}, data, 0o700},
		{"below what is set", []engine.Effect{private}, tool, 0o4755},
		{"a directory, owned", []engine.Effect{owned(data, 1000, false)}, data, 0o2755},
		{"a program, owned", []engine.Effect{owned(data, 1000, true)}, tool, 0o755},
		{"a program, owned and given back", []engine.Effect{owned(data, 1000, true), owned(data, 0, true)}, tool, 0o755},
		{"a program, owned by whom it was", []engine.Effect{owned(data, 0, true)}, tool, 0o4755},
		{"a program of a group, owned", []engine.Effect{owned(data, 1000, true)}, group, 0o755},
		{"a file that is no program, owned", []engine.Effect{owned(data, 1000, true)}, locked, 0o2644},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := over(nil, c.effects...).Stat(t.Context(), c.path)
			must(t, err)
			if got.Mode != c.want {
				t.Errorf("%s: got %04o, want %04o", c.path, got.Mode, c.want)
			}
		})
	}
	for path, want := range map[string]uint32{tool: 0o755, group: 0o755, locked: 0o2644} {
		must(t, os.Chown(path, 1000, 1000))
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		if st.Mode&0o7777 != want {
			t.Errorf("the kernel has made it %04o", st.Mode&0o7777)
		}
	}
}

func TestRelativePathIsRefused(t *testing.T) {
	if _, err := over(nil).Stat(t.Context(), "data"); err == nil {
		t.Error("a relative path means nothing on a host")
	}
}

func TestFreeSpaceCountsWhatIsCreated(t *testing.T) {
	d := t.TempDir()
	must(t, unix.Mount("tmpfs", d, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { must(t, unix.Unmount(d, 0)) })
	w := over(nil, created("/somewhere", 300<<10), created(d+"/n", 200<<10))
	for _, path := range []string{d, d + "/none/yet", d + "/n"} {
		f, err := w.Stat(t.Context(), path)
		must(t, err)
		if f.Free != 524<<10 {
			t.Errorf("%s: %d KiB free, want 1024-300-200", path, f.Free>>10)
		}
	}
}

func TestSource(t *testing.T) {
	d := tree(t)
	w := over(nil, moved(d+"/data", d+"/new"), created(d+"/made", 0))
	if got, err := w.Source(t.Context(), d+"/new/a/one"); err != nil || got != d+"/data/a/one" {
		t.Errorf("got %s, %v", got, err)
	}
	for _, path := range []string{d + "/data", d + "/none", d + "/new/a/one/below-a-file"} {
		if _, err := w.Source(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v is not ErrNotExist", path, err)
		}
	}
	unknown := (*engine.UnknownError)(nil)
	if _, err := w.Source(t.Context(), d+"/made/x"); !errors.As(err, &unknown) || unknown.Step != "creator" {
		t.Errorf("got %v, want known after creator", err)
	}
}

// walked lists what a walk visits, relative to root.
func walked(t *testing.T, w *overlay, root string) []string {
	t.Helper()
	var paths []string
	must(t, w.Walk(t.Context(), root, func(f engine.PathFact) error {
		if !f.Exists {
			t.Errorf("%s is visited and doesn't exist", f.Path)
		}
		paths = append(paths, strings.TrimPrefix(f.Path, filepath.Clean(root)))
		return nil
	}))
	return paths
}

func TestWalk(t *testing.T) {
	d := tree(t)
	data, other := d+"/data", d+"/other"
	must(t, os.Symlink("/etc", data+"/z"))
	all := []string{"", "/a", "/a/one", "/a.b", "/z"}
	for _, c := range []struct {
		name    string
		effects []engine.Effect
		root    string
		want    []string
	}{
		{"as it is", nil, data, all},
		{"not clean", nil, data + "/a/", []string{"", "/one"}},
		{"nothing", nil, d + "/none", nil},
		{"moved", []engine.Effect{moved(data, d+"/n")}, d + "/n", all},
		{"moved away", []engine.Effect{moved(data, d+"/n")}, data, nil},
		{"a part removed", []engine.Effect{removed(data + "/a")}, data, []string{"", "/a.b", "/z"}},
		{"created", []engine.Effect{removed(data), created(data, 0)}, data, []string{""}},
		{"created below", []engine.Effect{created(data+"/new", 0)}, data, append(slices.Clone(all), "/new")},
		{"replaced below", []engine.Effect{removed(data + "/a"), created(data+"/a", 0)}, data, []string{"", "/a.b", "/z", "/a"}},
		{"moved into it", []engine.Effect{moved(other, data+"/o")}, data, append(slices.Clone(all), "/o", "/o/x")},
		{"moved into it, then it moves", []engine.Effect{moved(other, data+"/o"), moved(data, d+"/n")}, d + "/n",
			append(slices.Clone(all), "/o", "/o/x")},
		{"moved away and back", []engine.Effect{moved(data+"/a", d+"/n"), moved(d+"/n", data+"/a")}, data, all},
		{"renamed within", []engine.Effect{moved(data+"/a", data+"/c")}, data, []string{"", "/a.b", "/z", "/c", "/c/one"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := walked(t, over(nil, c.effects...), c.root); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestWalkOverWhatWillBeMade(t *testing.T) {
	d := tree(t)
	w := over(nil, copied(d+"/data", d+"/n"), empty(d+"/e"), moved(d+"/other", d+"/e/o"))
	for root, want := range map[string]string{"/n": "/n /n/a /n/a/one /n/a.b", "/e": "/e /e/o /e/o/x"} {
		var seen []string
		must(t, w.Walk(t.Context(), d+root, func(f engine.PathFact) error {
			seen = append(seen, strings.TrimPrefix(f.Path, d))
			return nil
		}))
		if got := strings.Join(seen, " "); got != want {
			t.Errorf("%s: walked %s, want %s", root, got, want)
		}
	}
}

func TestWalkSeesPredictedOwners(t *testing.T) {
	d := tree(t)
	w := over(nil, owned(d+"/data", 1000, true), moved(d+"/data", d+"/n"))
	must(t, w.Walk(t.Context(), d+"/n", func(f engine.PathFact) error {
		if f.UID != 1000 {
			t.Errorf("%s belongs to %d", f.Path, f.UID)
		}
		return nil
	}))
}

// A bind mount has the device number of the file system that it shows again.
func TestWalkEntersNoOtherMount(t *testing.T) {
	d := tree(t)
	mount := func(from, at, kind string, flags uintptr) {
		must(t, unix.Mount(from, at, kind, flags, ""))
		t.Cleanup(func() { must(t, unix.Unmount(at, 0)) })
	}
	must(t, os.Mkdir(d+"/data/bound", 0o755))
	must(t, os.Mkdir(d+"/data/memory", 0o755))
	mount(d+"/other", d+"/data/bound", "", unix.MS_BIND)
	mount(d+"/other/x", d+"/data/a.b", "", unix.MS_BIND)
	mount("tmpfs", d+"/data/memory", "tmpfs", 0)
	if got := walked(t, over(nil), d+"/data"); !slices.Equal(got, []string{"", "/a", "/a/one"}) {
		t.Errorf("got %q", got)
	}
	if got := walked(t, over(nil), d+"/data/bound"); !slices.Equal(got, []string{"", "/x"}) {
		t.Errorf("a mount as the root: got %q", got)
	}
}

func TestWalkEndsWhenCancelled(t *testing.T) {
	d := tree(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := over(nil).Walk(ctx, d, func(engine.PathFact) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestUnitUnderEffects(t *testing.T) {
	stopped := engine.Effect{Unit: &engine.UnitFact{Name: "a.service", ActiveState: "inactive"}, Step: "stop"}
	started := engine.Effect{Unit: &engine.UnitFact{Name: "a.service", ActiveState: "active"}, Step: "start"}
	for _, c := range []struct {
		effects []engine.Effect
		unit    string
		want    string
	}{
		{nil, "a.service", "active"},
		{[]engine.Effect{stopped}, "a.service", "inactive"},
		{[]engine.Effect{stopped}, "b.service", "active"},
		{[]engine.Effect{stopped, started}, "a.service", "active"},
		{[]engine.Effect{{Anything: true, Step: "script"}, stopped}, "a.service", "inactive"},
	} {
		f, err := over(fakeFacts{}, c.effects...).Unit(t.Context(), c.unit)
		if err != nil || f.ActiveState != c.want {
			t.Errorf("%s under %v: %s, %v; want %s", c.unit, c.effects, f.ActiveState, err, c.want)
		}
	}
	_, err := over(fakeFacts{}, stopped, engine.Effect{Anything: true, Step: "script"}).Unit(t.Context(), "a.service")
	if unknown := (*engine.UnknownError)(nil); !errors.As(err, &unknown) {
		t.Errorf("after anything: %v", err)
	}
}

func TestLocalHashesWhereTheContentIsNow(t *testing.T) {
	d := tree(t)
	h := NewLocal(&engine.Registry{Facts: fakeFacts{}})
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("data/a/one")))
	before, err := h.Stat(t.Context(), d+"/data/a/one", true, nil)
	must(t, err)
	after, err := h.Stat(t.Context(), d+"/n/a/one", true, []engine.Effect{moved(d+"/data", d+"/n")})
	must(t, err)
	if before.SHA256 != sum || after.SHA256 != sum {
		t.Errorf("%q, then %q", before.SHA256, after.SHA256)
	}
}

func TestLocalNamesWhatItLacks(t *testing.T) {
	h := NewLocal(&engine.Registry{})
	if _, err := h.Plan(t.Context(), engine.StepRequest{Action: "fly"}); err == nil || !strings.Contains(err.Error(), "fly") {
		t.Errorf("got %v", err)
	}
	if _, err := h.Read(t.Context(), engine.DataRequest{Type: "moon"}); err == nil || !strings.Contains(err.Error(), "moon") {
		t.Errorf("got %v", err)
	}
}

// A planner's list of effects grows step by step; each question sees just what
// was there when it was asked.
func TestHistoriesGrowWithTheirList(t *testing.T) {
	var cache histories
	var effects []engine.Effect
	for i := range 100 {
		effects = append(effects, moved(fmt.Sprintf("/nowhere/%d", i), fmt.Sprintf("/nowhere/%d", i+1)))
		w := newOverlay(nil, engine.RunInfo{}, cache.of(effects))
		at, err := w.locate(fmt.Sprintf("/nowhere/%d/x", i+1))
		if err != nil || at.path != "/nowhere/0/x" {
			t.Fatalf("after %d: %+v, %v", i, at, err)
		}
		if none := newOverlay(nil, engine.RunInfo{}, cache.of(nil)); none.n != 0 {
			t.Fatal("no effects became some")
		}
	}
	short := newOverlay(nil, engine.RunInfo{}, cache.of(effects[:1]))
	if at, _ := short.locate("/nowhere/2"); at.path != "/nowhere/2" || at.absent {
		t.Errorf("a shorter list sees later effects: %+v", at)
	}
	other := cache.of([]engine.Effect{moved("/a", "/b")})
	if len(other.effects) != 1 {
		t.Errorf("another list has %d effects", len(other.effects))
	}
}

func TestTouched(t *testing.T) {
	past := func(effects ...engine.Effect) *overlay {
		return newOverlay(fakeFacts{}, engine.RunInfo{}, (&histories{}).of(effects))
	}
	if got := past().Touched(); got != "" {
		t.Errorf("untouched: %q", got)
	}
	elsewhere := engine.Effect{Elsewhere: "kubernetes", Step: "applier"}
	if got := past(removed("/a"), elsewhere).Touched(); got != "applier" {
		t.Errorf("touched by %q", got)
	}
	if _, err := past(elsewhere).Stat(t.Context(), "/"); err != nil {
		t.Errorf("what changes elsewhere says nothing of the host: %v", err)
	}
}
