package journal

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine/journal"
	"runbook/test/torture/tally"
)

// foreign is what may be in the place of a journal, and how it gets there.
func (j *sound) foreign() map[string]func(path string) error {
	content := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	return map[string]func(path string) error{
		"nothing":         func(string) error { return nil },
		"an empty file":   content(""),
		"JSON":            content(`{"seq":1,"kind":"run"}` + "\n"),
		"a JSON list":     content("[]\n"),
		"no UTF-8":        content("\xff\xfe\xfd\n\x80"),
		"newlines":        content(strings.Repeat("\n", 1000)),
		"zeros":           content(strings.Repeat("\x00", 4096)),
		"a text":          content("Dear journal,\n"),
		"its end doubled": content(string(j.text) + string(j.text)),
		"a program":       func(path string) error { return os.Link(os.Args[0], path) },
		"a directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"a pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a device":        func(path string) error { return os.Symlink("/dev/zero", path) },
		"a terminal":      func(path string) error { return os.Symlink("/dev/tty", path) },
		"a link to itself": func(path string) error {
			return os.Symlink(path, path)
		},
		"a link to nothing": func(path string) error { return os.Symlink(path+".gone", path) },
		"a long line": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte("{"), 0o600), os.Truncate(path, 8<<30))
		},
	}
}

// What is no journal is refused in words, by every command, at once. Other
// runs aren't held up, and the run can be given up.
func TestForeignFiles(t *testing.T) {
	j := newSound(t)
	tried := 0
	for name, make := range j.foreign() {
		if !tally.Takes(name, 3) {
			continue
		}
		tried++
		t.Run(name, func(t *testing.T) {
			k := j.elsewhere(t)
			k.must(os.MkdirAll(filepath.Dir(k.path()), 0o700))
			if err := make(k.path()); errors.Is(err, unix.EXDEV) {
				k.must(os.Symlink(os.Args[0], k.path()))
			} else {
				k.must(err)
			}
			k.refused(name, 0)
			if name == "a long line" { // which takes each command some time
				k.runbook(0, "abandon", k.id, "--reason", "looked at it")
				return
			}
			k.unusable()
		})
	}
	tally.Count(t, "other things in the place of a journal", tried)
}

// elsewhere is j with another, empty state directory.
func (j *sound) elsewhere(t *testing.T) *sound {
	k, s := *j, *j.scene
	k.scene, s.TB, s.state = &s, t, filepath.Join(t.TempDir(), "state")
	return &k
}

// unusable runs every command on a run whose journal can't be used.
func (j *sound) unusable() {
	j.Helper()
	before := j.tree(true)
	if out := j.runbook(0, "list"); !strings.Contains(out, "unreadable") {
		j.Errorf("the list says nothing of it:\n%s", out)
	}
	for _, args := range [][]string{
		{"show", j.id}, {"report", j.id}, {"resume", j.id}, {"rollback", j.id, "--yes"}, {"approve", j.id, "pack"}, {"prune", j.id},
		{"resume"}, {"run", "testdata/long.hcl", "--var", "dir=" + j.work, "--yes"},
	} {
		out := j.runbook(1, args...)
		if len(args) > 1 && !strings.Contains(out, journal.FileName) {
			j.Errorf("runbook %v says nothing of where:\n%s", args, out)
		}
	}
	j.runbook(0, "plan", "testdata/long.hcl", "--var", "dir="+j.work)
	if now := j.tree(true); now != before {
		j.Errorf("the host was\n%s\nand is\n%s", before, now)
	}
	j.runbook(0, "abandon", j.id, "--reason", "looked at it")
	if out := j.runbook(0, "list"); !strings.Contains(out, "given up") {
		j.Errorf("it can't be given up:\n%s", out)
	}
}

// A journal of another version is refused, and the error says which version
// reads it. So is one that is no run's, although every checksum is right.
func TestOtherVersions(t *testing.T) {
	j := newSound(t)
	change := func(member string, value any) func(map[string]any) {
		return func(head map[string]any) { head[member] = value }
	}
	cases := map[string]func(map[string]any){
		"an older format":        change("format", 0),
		"a newer format":         change("format", 2),
		"a format that is text":  change("format", "1"),
		"no format":              func(head map[string]any) { delete(head, "format") },
		"no plan":                change("plan", nil),
		"no sources":             change("sources", nil),
		"a run of another ID":    change("run", map[string]any{"id": "20200101-000000-abcd"}),
		"no run":                 change("run", nil),
		"a plan that is a text":  change("plan", "plan"),
		"steps that are numbers": change("plan", map[string]any{"steps": []int{1}}),
	}
	tried := 1
	for name, change := range cases {
		if !tally.Takes(name, 3) {
			continue
		}
		tried++
		t.Run(name, func(t *testing.T) {
			k := j.elsewhere(t)
			k.rewritten(change)
			_, err := k.store().Look(k.id)
			k.saysWhere(name, 0, err)
			if strings.Contains(name, "er format") && !strings.Contains(err.Error(), "reads format 1") {
				t.Errorf("the error doesn't say which formats: %v", err)
			}
			k.unusable()
		})
	}
	t.Run("a kind of record that is not known yet", func(t *testing.T) {
		k := j.elsewhere(t)
		k.rewritten(func(map[string]any) {}, "postponed")
		_, err := k.store().Look(k.id)
		k.saysWhere("a new kind", 0, err)
		k.unusable()
	})
	tally.Count(t, "journals of other versions", tried)
}

// rewritten makes the journal anew, with right checksums, another header, and
// further records of the given kinds.
func (j *sound) rewritten(change func(map[string]any), kinds ...string) {
	j.Helper()
	head := map[string]any{}
	j.must(json.Unmarshal(j.records[0].Data, &head))
	change(head)
	j.must(os.MkdirAll(filepath.Dir(filepath.Dir(j.path())), 0o700))
	w, err := journal.Create(filepath.Dir(j.path()), j.records[0].Kind, head)
	j.must(err)
	for _, r := range j.records[1:] {
		_, err = w.Append(r.Kind, r.Data)
		j.must(err)
	}
	for _, kind := range kinds {
		_, err = w.Append(kind, struct{}{})
		j.must(err)
	}
	j.must(w.Close())
}
