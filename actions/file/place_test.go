package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/host"
)

func reads(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", path, got, want)
	}
}

func TestDiffIsForWhatAnyoneMayRead(t *testing.T) {
	for name, c := range map[string]struct {
		old, content string
		oldMode      os.FileMode
		mode         string
		shown        bool
	}{
		"text":              {"a\nb\n", "a\nc\n", 0o644, "0644", true},
		"was private":       {"a\nb\n", "a\nc\n", 0o640, "0644", false},
		"will be private":   {"a\nb\n", "a\nc\n", 0o644, "0600", false},
		"binary":            {"a\x00b\n", "a\nc\n", 0o644, "0644", false},
		"escape sequences":  {"a\n", "a\x1b[2Jc\n", 0o644, "0644", false},
		"too large":         {"a\n", strings.Repeat("x", maxDiff), 0o644, "0644", false},
		"the old too large": {strings.Repeat("x", maxDiff), "a\n", 0o644, "0644", false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "conf")
			must(t, os.WriteFile(path, []byte(c.old), c.oldMode))
			_, change, err := step(t, "write_file", map[string]any{"path": path, "content": c.content, "mode": c.mode})
			must(t, err)
			item := change.Items[0]
			if (item.Diff != "") != c.shown || c.shown && !strings.Contains(item.Diff, "-b\n+c\n") {
				t.Errorf("diff: %q", item.Diff)
			}
			item.Diff = ""
			if all := fmt.Sprint(item, string(change.Data)); strings.Contains(all, "a\n") || strings.Contains(all, "xxx") {
				t.Errorf("the content is in %s", all)
			}
			if c.mode == "0600" && strings.Contains(item.After, "sha256") || c.oldMode == 0o640 && strings.Contains(item.Before, "sha256") {
				t.Errorf("a digest tells of a private file: %v", item)
			}
		})
	}
}

func TestWriteKeepsTheModeThatIsNotSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(path, []byte("same"), 0o600))
	_, c, err := step(t, "write_file", map[string]any{"path": path, "content": "same"})
	if err != nil || !c.Empty() {
		t.Errorf("got %v, %v; want nothing to do", c.Items, err)
	}
}

// What has come in the way since the plan is neither replaced nor moved, not
// by undoing either.
func TestStrangersStay(t *testing.T) {
	for name, was := range map[string]string{"in an empty place": "", "in place of the old": "old"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := dir + "/conf"
			if was != "" {
				must(t, os.WriteFile(path, []byte(was), 0o644))
			}
			req, c, err := step(t, "write_file", map[string]any{"path": path, "content": "new"})
			must(t, err)
			must(t, os.WriteFile(path+".other", []byte("stranger"), 0o644))
			must(t, os.Rename(path+".other", path))
			_, err = local.Apply(t.Context(), req, c, quiet{})
			if err == nil || engine.HintOf(err) == "" {
				t.Errorf("got %v", err)
			}
			reads(t, path, "stranger")
			must(t, local.Undo(t.Context(), req, c, quiet{}))
			reads(t, path, "stranger")
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// Where the file system can't exchange two names, a crash may fall between two
// renames.
func TestBetweenTwoRenames(t *testing.T) {
	for name, c := range map[string]struct {
		finish func(engine.StepRequest, engine.Change) error
		want   string
	}{
		"applied again": {func(r engine.StepRequest, c engine.Change) error {
			_, err := local.Apply(t.Context(), r, c, quiet{})
			return err
		}, "new"},
		"undone": {func(r engine.StepRequest, c engine.Change) error { return local.Undo(t.Context(), r, c, quiet{}) }, "old"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/conf"
			must(t, os.WriteFile(path, []byte("old"), 0o644))
			req, change, err := step(t, "write_file", map[string]any{"path": path, "content": "new"})
			must(t, err)
			_, err = local.Apply(t.Context(), req, change, quiet{})
			must(t, err)
			var r written
			must(t, change.GetData(&r))
			must(t, os.Rename(path, r.Staging))
			must(t, c.finish(req, change))
			reads(t, path, c.want)
		})
	}
}

func TestDirectoryInUseStays(t *testing.T) {
	dir := t.TempDir()
	req, c, err := step(t, "make_directory", map[string]any{"path": dir + "/a/b", "parents": true})
	must(t, err)
	_, err = local.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	write(t, dir+"/a/used")
	must(t, local.Undo(t.Context(), req, c, quiet{}))
	reads(t, dir+"/a/used", dir+"/a/used")
	if _, err := os.Lstat(dir + "/a/b"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty one stays: %v", err)
	}
}

// Steps that build on each other are planned to the end.
func TestPlannedIntoWhatWillBeMade(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/from/x")
	var effects []engine.Effect
	plan := func(action string, config map[string]any) engine.Change {
		_, c, err := step(t, action, config, effects...)
		must(t, err)
		for _, e := range c.Effects {
			e.Step = action
			effects = append(effects, e)
		}
		return c
	}
	plan("make_directory", map[string]any{"path": dir + "/a/b", "parents": true})
	plan("write_file", map[string]any{"path": dir + "/a/b/conf", "content": "new", "mode": "0600"})
	plan("copy", map[string]any{"from": dir + "/from", "to": dir + "/a/copy"})
	if c := plan("copy", map[string]any{"from": dir + "/from", "to": dir + "/a/copy"}); !c.Empty() {
		t.Errorf("copied twice: %v", c.Items)
	}
	c := plan("chown", map[string]any{"path": dir + "/a", "owner": "1:1", "recursive": true})
	if c.Items[0].Note != "5 of 5 entries" {
		t.Errorf("note: %s", c.Items[0].Note)
	}
}

func TestCopyFindsItsEqual(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error
		same   bool
	}{
		"equal":       {func(string) error { return nil }, true},
		"other times": {func(d string) error { return os.Chtimes(d+"/copy/a/x", time.Unix(1, 0), time.Unix(1, 0)) }, true},
		"content":     {func(d string) error { return os.WriteFile(d+"/copy/a/x", []byte(strings.ToUpper(d+"/from/a/x")), 0) }, false},
		"mode":        {func(d string) error { return os.Chmod(d+"/copy/a", 0o700) }, false},
		"owner":       {func(d string) error { return os.Lchown(d+"/copy/link", 1, 1) }, false},
		"attribute":   {func(d string) error { return unix.Setxattr(d+"/copy/a/x", "user.a", []byte("b"), 0) }, false},
		"one more":    {func(d string) error { return os.WriteFile(d+"/copy/z", nil, 0o644) }, false},
		"one less":    {func(d string) error { return os.Remove(d + "/copy/link") }, false},
		"link": {func(d string) error {
			return errors.Join(os.Remove(d+"/copy/link"), os.Symlink("elsewhere", d+"/copy/link"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/from/a/x")
			must(t, os.Symlink("a", dir+"/from/link"))
			config := map[string]any{"from": dir + "/from", "to": dir + "/copy", "replace": true}
			req, change, err := step(t, "copy", config)
			must(t, err)
			_, err = local.Apply(t.Context(), req, change, quiet{})
			must(t, err)
			must(t, c.change(dir))
			_, change, err = step(t, "copy", config)
			if err != nil || change.Empty() != c.same {
				t.Errorf("got %v, %v", change.Items, err)
			}
		})
	}
}

// onProgress calls a function once, as soon as something is told.
type onProgress struct{ do func() }

func (p *onProgress) Progress(engine.Progress) {
	if p.do != nil {
		p.do()
		p.do = nil
	}
}

func TestCopyNoticesWriters(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/from", bytes.Repeat([]byte("x"), 2*chunk), 0o644))
	req, c, err := step(t, "copy", map[string]any{"from": dir + "/from", "to": dir + "/copy"})
	must(t, err)
	writer := &onProgress{do: func() { must(t, os.Truncate(dir+"/from", chunk)) }}
	_, err = local.Apply(t.Context(), req, c, writer)
	if err == nil || !strings.Contains(err.Error(), "has changed while it was copied") {
		t.Errorf("got %v", err)
	}
	must(t, local.Undo(t.Context(), req, c, quiet{}))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCopyEndsWhenCancelled(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/from", bytes.Repeat([]byte("x"), 2*chunk), 0o644))
	req, c, err := step(t, "copy", map[string]any{"from": dir + "/from", "to": dir + "/copy"})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := local.Apply(ctx, req, c, &onProgress{do: cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestUnescapedMountPoints(t *testing.T) {
	for in, want := range map[string]string{`/a`: "/a", `/a\040b\134c`: `/a b\c`, `/a\04`: `/a\04`} {
		if got := unescaped(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestData(t *testing.T) {
	dir := t.TempDir()
	h := host.NewLocal(&engine.Registry{Data: Data()})
	read := func(path string) string {
		raw, err := json.Marshal(map[string]any{"path": path})
		must(t, err)
		res, err := h.Read(t.Context(), engine.DataRequest{Type: "file", Config: raw})
		must(t, err)
		_, err = engine.ResultValue(dataSpec.Results, res, false)
		must(t, err)
		delete(res, "modified")
		return fmt.Sprint(res)
	}
	must(t, os.WriteFile(dir+"/text", []byte("hello\n"), 0o640))
	must(t, os.WriteFile(dir+"/binary", []byte{0xff}, 0o640))
	must(t, os.WriteFile(dir+"/large", make([]byte, maxContent+1), 0o640))
	must(t, os.Symlink("text", dir+"/link"))
	const hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	for path, want := range map[string]string{
		dir + "/none":      "map[exists:false]",
		dir + "/text":      "map[content:hello\n exists:true group:root mode:0640 owner:root sha256:" + hello + " size:6 type:file]",
		dir + "/binary":    "map[exists:true group:root mode:0640 owner:root sha256:a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89 size:1 type:file]",
		dir + "/link":      "map[exists:true group:root mode:0777 owner:root size:4 type:symlink]",
		dir + "/text/none": "map[exists:false]",
	} {
		if got := read(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if got := read(dir + "/large"); strings.Contains(got, "content") || !strings.Contains(got, "size:1048577") {
		t.Errorf("the large one: %s", got)
	}
}
