package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

func recordsIn(t *testing.T, log []byte) (n int) {
	t.Helper()
	r := newOwnerReader(log)
	for must(t, r.read()); !r.end; must(t, r.read()) {
		n++
	}
	return n
}

func TestLogTellsWhatItWasTold(t *testing.T) {
	entries := []struct {
		path string
		ids
		special *special
	}{
		{path: "", ids: ids{0, 0}},
		{path: "/a", ids: ids{1, 2}},
		{path: "/a/odd\xff\xfe", ids: ids{1, 2}, special: &special{Mode: 0o4755, Sum: "0123abcd"}},
		{path: "/a/é\n", ids: ids{4294967294, 0}, special: &special{Mode: 0o755, Capability: []byte{1, 0, 2}}},
		{path: "/a.b", ids: ids{0, 4294967294}},
		{path: "/b", ids: ids{0, 4294967294}},
	}
	var l ownerLog
	for _, e := range entries {
		must(t, l.owner(e.path, e.ids))
		if e.special != nil {
			must(t, l.special(e.path, *e.special))
		}
	}
	log, err := l.bytes()
	must(t, err)
	for skip := range entries { // what has vanished since isn't asked for
		r := newOwnerReader(log)
		for i, e := range entries {
			if i == skip {
				continue
			}
			was, s, err := r.at(e.path)
			must(t, err)
			if was != e.ids || fmt.Sprint(s) != fmt.Sprint(e.special) {
				t.Errorf("without %q: %q was %v, %v; want %v, %v", entries[skip].path, e.path, was, s, e.ids, e.special)
			}
		}
	}
	r := newOwnerReader(log)
	if was, s, err := r.at("/a/new"); was != (ids{1, 2}) || s != nil || err != nil {
		t.Errorf("a new file: %v, %v, %v", was, s, err)
	}
}

func TestDamagedLogIsAnError(t *testing.T) {
	var l ownerLog
	for i := range 1000 {
		must(t, l.owner(fmt.Sprint("/", i), ids{i, i}))
	}
	log, err := l.bytes()
	must(t, err)
	for _, damaged := range [][]byte{log[:len(log)/2], append(slices.Clone(log[:9]), make([]byte, 50)...)} {
		if _, _, err := newOwnerReader(damaged).at("/zzz"); err == nil || engine.HintOf(err) == "" {
			t.Errorf("got %v", err)
		}
	}
}

// bigWorld is a directory of n files whose owners alternate. It keeps none of
// them in memory.
type bigWorld struct {
	engine.World
	n    int
	name func(i int) string
	peak *uint64
}

func (w bigWorld) Stat(context.Context, string) (engine.PathFact, error) {
	return engine.PathFact{Path: "/big", Exists: true, Type: engine.TypeDirectory, Inode: 1}, nil
}

func (bigWorld) Source(context.Context, string) (string, error) { return "", fs.ErrNotExist }

func (w bigWorld) Walk(_ context.Context, root string, fn func(engine.PathFact) error) error {
	for i := range w.n {
		id := 100 + i%3
		f := engine.PathFact{Path: root + w.name(i), Exists: true, Type: engine.TypeFile, Mode: 0o644,
			UID: id, GID: id, Owner: fmt.Sprint("user", i), Group: "group"}
		if err := fn(f); err != nil {
			return err
		}
		if i%100_000 == 0 {
			*w.peak = max(*w.peak, liveHeap())
		}
	}
	return nil
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func numbered(i int) string { return fmt.Sprintf("/dir%03d/file-%07d", i/1000, i) }

// A million files that belong to others in turn, under a million names of
// owners, are planned and given back in bounded memory.
func TestAMillionOwnersStaySmall(t *testing.T) {
	const files, bound = 1_000_000, 24 << 20
	start, peak := liveHeap(), uint64(0)
	a := &chown{Path: "/big", Owner: "1:1", Recursive: true}
	c, err := a.Plan(t.Context(), bigWorld{n: files, name: numbered, peak: &peak})
	must(t, err)
	if used := int64(peak - start); used > bound {
		t.Errorf("planning took %d MiB", used>>20)
	}
	var o ownership
	must(t, c.GetData(&o))
	t.Logf("the record takes %d KiB", len(c.Data)>>10)
	if len(c.Data) > 8<<20 {
		t.Errorf("the record takes %d MiB", len(c.Data)>>20)
	}
	start, peak = liveHeap(), 0
	r := newOwnerReader(o.Log)
	for i := range files {
		was, _, err := r.at(numbered(i))
		if must(t, err); was.UID != 100+i%3 {
			t.Fatalf("%s was %d's", numbered(i), was.UID)
		}
		if i%100_000 == 0 {
			peak = max(peak, liveHeap())
		}
	}
	if used := int64(peak - start); used > bound {
		t.Errorf("giving back took %d MiB", used>>20)
	}
	runtime.KeepAlive(c)
}

func TestWhatDoesNotCompressIsRefused(t *testing.T) {
	peak := uint64(0)
	digest := func(i int) string {
		return fmt.Sprintf("/%07d%x", i, sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
	}
	a := &chown{Path: "/big", Owner: "1:1", Recursive: true}
	start := liveHeap()
	_, err := a.Plan(t.Context(), bigWorld{n: 1_000_000, name: digest, peak: &peak})
	if e := (*engine.Error)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), "more than 16 MiB") || e.Hint == "" || e.Attribute != "path" {
		t.Errorf("got %v", err)
	}
	if used := int64(peak - start); used > 64<<20 {
		t.Errorf("it took %d MiB", used>>20)
	}
}

func BenchmarkPlanChown(b *testing.B) {
	peak := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		a := &chown{Path: "/big", Owner: "1:1", Recursive: true}
		if _, err := a.Plan(b.Context(), bigWorld{n: 100_000, name: numbered, peak: &peak}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAlternatingOwnersComeBack(t *testing.T) {
	const files = 3000
	dir := t.TempDir()
	file := func(i int) string { return fmt.Sprintf("%s/%d/%d", dir, i%7, i) }
	for i := range files {
		write(t, file(i))
		must(t, os.Chown(file(i), 100+i%5, 200+i%2))
	}
	req, c, err := step(t, "chown", map[string]any{"path": dir, "owner": "1:1", "recursive": true})
	must(t, err)
	_, err = local.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	must(t, local.Undo(t.Context(), req, c, quiet{}))
	for i := range files {
		var st unix.Stat_t
		must(t, unix.Lstat(file(i), &st))
		if int(st.Uid) != 100+i%5 || int(st.Gid) != 200+i%2 {
			t.Fatalf("%s belongs to %d:%d", file(i), st.Uid, st.Gid)
		}
	}
}

// Whoever can write in the tree swaps its directories for links to elsewhere
// all the while. Nothing elsewhere changes hands.
func TestRacedWalkStaysInTheTree(t *testing.T) {
	dir := t.TempDir()
	data, outside := filepath.Join(dir, "data"), filepath.Join(dir, "outside")
	for i := range 20 {
		write(t, fmt.Sprintf("%s/%02d/deep/file", data, i))
		write(t, fmt.Sprintf("%s/deep/file", outside))
		must(t, os.Symlink(outside, fmt.Sprintf("%s/%02d.link", data, i)))
	}
	write(t, filepath.Join(outside, "file"))
	req, c, err := step(t, "chown", map[string]any{"path": data, "owner": "1:1", "recursive": true})
	must(t, err)
	stop, swaps := make(chan struct{}), 0
	var attacker sync.WaitGroup
	attacker.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			sub := fmt.Sprintf("%s/%02d", data, i%20)
			if unix.Renameat2(unix.AT_FDCWD, sub, unix.AT_FDCWD, sub+".link", unix.RENAME_EXCHANGE) == nil {
				swaps++
			}
		}
	})
	for range 100 {
		_, err := local.Apply(t.Context(), req, c, quiet{})
		if err == nil {
			err = local.Undo(t.Context(), req, c, quiet{})
		}
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	attacker.Wait()
	if swaps < 100 {
		t.Errorf("only %d swaps: that was no race", swaps)
	}
	_, err = local.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	for _, path := range []string{outside, outside + "/file", outside + "/deep", outside + "/deep/file"} {
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		if st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
	}
}

// A link in the place of a parent directory leads to another tree altogether.
func TestChownMeetsAnotherTree(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a/data/file")
	write(t, dir+"/etc/data/file")
	req, c, err := step(t, "chown", map[string]any{"path": dir + "/a/data", "owner": "1:1", "recursive": true})
	must(t, err)
	must(t, os.Rename(dir+"/a", dir+"/b"))
	must(t, os.Symlink("etc", dir+"/a"))
	if _, err := local.Apply(t.Context(), req, c, quiet{}); err == nil || !strings.Contains(err.Error(), "something else is here") {
		t.Errorf("got %v", err)
	}
	var st unix.Stat_t
	must(t, unix.Lstat(dir+"/etc/data/file", &st))
	if st.Uid != 0 {
		t.Error("it was led to the other tree")
	}
}
