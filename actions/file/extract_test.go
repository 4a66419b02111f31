package file

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

var packedAt = time.Unix(1767225600, 0)

// aFile is a member of an archive of the tests.
func aFile(name, content string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o640, Uid: 12, Gid: 34, ModTime: packedAt, Size: int64(len(content)),
		PAXRecords: map[string]string{"TEST.content": content}}
}

func aDirectory(name string) tar.Header {
	return tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 12, Gid: 34, ModTime: packedAt}
}

func pack(t *testing.T, path string, members ...tar.Header) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	zip := gzip.NewWriter(f)
	out := tar.NewWriter(zip)
	for _, h := range members {
		h.Format = tar.FormatPAX
		must(t, out.WriteHeader(&h))
		_, err := out.Write([]byte(h.PAXRecords["TEST.content"]))
		must(t, err)
	}
	must(t, out.Close())
	must(t, zip.Close())
	must(t, f.Close())
}

// packed makes the archive of a small tree at DIR/a.tar.gz, with the names that
// it would have if it were packed from dir.
func packed(t *testing.T, dir string) string {
	t.Helper()
	in := func(name string) string { return strings.TrimPrefix(filepath.Join(dir, name), "/") }
	path := filepath.Join(dir, "a.tar.gz")
	pack(t, path, aDirectory(in("pki")), aFile(in("pki/ca.crt"), "ca"), aDirectory(in("pki/etcd")), aFile(in("pki/etcd/server.crt"), "certificate"),
		aFile(in("pki/etcd/server.key"), "very secret"), tar.Header{Name: in("link"), Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}, aFile(in("admin.conf"), "admin"))
	return path
}

// extracts applies a step, and holds that nothing is left to be done.
func extracts(t *testing.T, config map[string]any) (engine.StepRequest, engine.Change, engine.Result) {
	t.Helper()
	req, c, err := step(t, "archive_extract", config)
	must(t, err)
	res, err := local.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	again, err := local.Plan(t.Context(), req)
	must(t, err)
	if !again.Empty() {
		t.Errorf("once it is done, there is still %v", again.Items)
	}
	return req, c, res
}

func TestExtractFiles(t *testing.T) {
	dir := t.TempDir()
	path := packed(t, dir)
	write(t, dir+"/pki/etcd/server.crt")
	req, c, res := extracts(t, map[string]any{"archive": path, "files": []string{dir + "/pki/etcd/server.crt", dir + "/admin.conf", dir + "/pki/etcd/server.key"},
		"to": map[string]string{dir + "/admin.conf": dir + "/other.conf"}})
	for name, want := range map[string]string{"pki/etcd/server.crt": "certificate", "pki/etcd/server.key": "very secret", "other.conf": "admin"} {
		path := filepath.Join(dir, name)
		reads(t, path, want)
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		if st.Uid != 12 || st.Gid != 34 || st.Mode&0o7777 != 0o640 || st.Mtim.Sec != packedAt.Unix() {
			t.Errorf("%s: %d:%d %o of %d", path, st.Uid, st.Gid, st.Mode, st.Mtim.Sec)
		}
	}
	told, err := json.Marshal([]any{c, res})
	must(t, err)
	if strings.Contains(string(told), "very secret") || strings.Contains(string(told), sum("very secret")) {
		t.Errorf("the key is told in %s", told)
	}
	kept := res["kept"].([]string)
	if len(kept) != 1 {
		t.Fatalf("kept: %v", kept)
	}
	reads(t, kept[0], dir+"/pki/etcd/server.crt")
	must(t, local.Undo(t.Context(), req, c, quiet{}))
	reads(t, dir+"/pki/etcd/server.crt", dir+"/pki/etcd/server.crt")
	for _, name := range []string{"other.conf", "pki/etcd/server.key", "admin.conf"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

func TestExtractDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		lay     func(dir string)
		missing bool
		items   string
		has     map[string]string
	}{
		"all gone": {func(string) {}, false, "pki: absent → directory with 3 files, 0750 ",
			map[string]string{"pki/ca.crt": "ca", "pki/etcd/server.key": "very secret"}},
		"a part of it is gone": {func(dir string) { write(t, dir+"/pki/ca.crt") }, true, "pki/etcd: absent → directory with 2 files, 0750 ",
			map[string]string{"pki/ca.crt": "DIR/pki/ca.crt", "pki/etcd/server.crt": "certificate"}},
		"a part is another": {func(dir string) { write(t, dir+"/pki/ca.crt"); write(t, dir+"/pki/mine") }, false, "pki/ca.crt: ",
			map[string]string{"pki/ca.crt": "ca", "pki/mine": "DIR/pki/mine", "pki/etcd/server.crt": "certificate"}},
		"nothing is missing": {func(dir string) {
			for _, name := range []string{"ca.crt", "etcd/server.crt", "etcd/server.key"} {
				write(t, dir+"/pki/"+name)
			}
		}, true, "", map[string]string{"pki/ca.crt": "DIR/pki/ca.crt"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := packed(t, dir)
			c.lay(dir)
			req, change, _ := extracts(t, map[string]any{"archive": path, "files": []string{dir + "/pki/etcd", dir + "/pki"}, "missing_only": c.missing})
			items := ""
			for _, i := range change.Items {
				items += strings.TrimPrefix(i.Target, dir+"/") + ": " + i.Before + " → " + i.After + "\n"
			}
			if !strings.HasPrefix(items, c.items) || (c.items == "") != (items == "") {
				t.Errorf("planned: %s", items)
			}
			for name, want := range c.has {
				reads(t, filepath.Join(dir, name), strings.ReplaceAll(want, "DIR", dir))
			}
			before := ""
			if len(c.items) > 0 && strings.HasPrefix(c.items, "pki: ") {
				before = "pki"
			}
			must(t, local.Undo(t.Context(), req, change, quiet{}))
			if _, err := os.Lstat(filepath.Join(dir, "pki")); os.IsNotExist(err) != (before == "pki") {
				t.Errorf("undone: %v", err)
			}
		})
	}
}

// What would lead elsewhere, or can't be told, is refused as a whole.
func TestExtractRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		members func(in func(string) string) []tar.Header
		config  map[string]any
		problem string
	}{
		"an absolute name": {func(in func(string) string) []tar.Header { return []tar.Header{aFile("/"+in("f"), "x")} }, nil, "leads out of where it is unpacked"},
		"a way out": {func(in func(string) string) []tar.Header {
			return []tar.Header{aFile(in("f"), "x"), aFile("a/../../etc/passwd", "x")}
		}, nil, "leads out"},
		"a link": {func(in func(string) string) []tar.Header {
			return []tar.Header{{Name: in("f"), Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}}
		}, nil, `is a link to "/etc/shadow"`},
		"a hard link": {func(in func(string) string) []tar.Header {
			return []tar.Header{aFile("x", "x"), {Name: in("f"), Typeflag: tar.TypeLink, Linkname: "x"}}
		}, nil, `is a link to "x"`},
		"a device": {func(in func(string) string) []tar.Header {
			return []tar.Header{{Name: in("f"), Typeflag: tar.TypeChar}}
		}, nil, "no file and no directory"},
		"a file twice": {func(in func(string) string) []tar.Header {
			return []tar.Header{aFile(in("f"), "x"), aFile("./"+in("f"), "y")}
		}, nil, "twice"},
		"below a file": {func(in func(string) string) []tar.Header {
			return []tar.Header{aFile(in("f"), "x"), aFile(in("f/g"), "y")}
		}, nil, "without the directory"},
		"not in it":       {func(in func(string) string) []tar.Header { return []tar.Header{aFile(in("g"), "x")} }, nil, "doesn't hold it"},
		"a name too many": {func(in func(string) string) []tar.Header { return []tar.Header{aFile(in("f"), "x")} }, map[string]any{"to": map[string]string{"/x": "/y"}}, "isn't in files"},
		"two at a place": {func(in func(string) string) []tar.Header {
			return []tar.Header{aFile(in("f"), "x"), aFile(in("g"), "y")}
		},
			map[string]any{"files": []string{"DIR/f", "DIR/g"}, "to": map[string]string{"DIR/f": "DIR/g"}}, "would both be put here"},
		"no directory for it": {func(in func(string) string) []tar.Header { return []tar.Header{aFile(in("f"), "x")} }, map[string]any{"to": map[string]string{"DIR/f": "DIR/x/f"}}, "no such directory"},
		"a directory in its place": {func(in func(string) string) []tar.Header { return []tar.Header{aFile(in("f"), "x")} },
			map[string]any{"to": map[string]string{"DIR/f": "DIR"}}, "is no regular file"},
		"a file in a directory's place": {func(in func(string) string) []tar.Header { return []tar.Header{aDirectory(in("f"))} },
			map[string]any{"to": map[string]string{"DIR/f": "DIR/a.tar.gz"}}, "it is a directory in the archive, and a file here"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.tar.gz")
			pack(t, path, c.members(func(name string) string { return strings.TrimPrefix(filepath.Join(dir, name), "/") })...)
			text, err := json.Marshal(c.config)
			must(t, err)
			config := map[string]any{"archive": path, "files": []string{dir + "/f"}}
			if c.config != nil {
				must(t, json.Unmarshal([]byte(strings.ReplaceAll(string(text), "DIR", dir)), &config))
			}
			refuses(t, config, c.problem)
		})
	}
}

func refuses(t *testing.T, config map[string]any, problem string) {
	t.Helper()
	_, _, err := step(t, "archive_extract", config)
	if err == nil || !strings.Contains(err.Error(), problem) || engine.HintOf(err) == "" {
		t.Errorf("got %v (%s), want %q", err, engine.HintOf(err), problem)
	}
}

func TestExtractWantsAWholeArchive(t *testing.T) {
	dir := t.TempDir()
	path := packed(t, dir)
	config := func() map[string]any { return map[string]any{"archive": path, "files": []string{dir + "/admin.conf"}} }
	whole, err := os.ReadFile(path)
	must(t, err)
	for name, c := range map[string]struct {
		text    []byte
		problem string
	}{
		"cut":            {whole[:len(whole)-9], "it isn't whole"},
		"cut in the sum": {whole[:len(whole)-2], "it isn't whole"},
		"empty":          {nil, "it is no archive"},
		"text":           {[]byte("a backup, one might think"), "it is no archive"},
	} {
		must(t, os.WriteFile(path, c.text, 0o600))
		t.Run(name, func(t *testing.T) { refuses(t, config(), c.problem) })
	}
	content, err := gunzip(whole)
	must(t, err)
	for i := 12; i < len(whole); i += 7 {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x10
		if got, err := gunzip(bad); err == nil && bytes.Equal(got, content) {
			continue // written otherwise, and the same
		}
		must(t, os.WriteFile(path, bad, 0o600))
		if _, _, err := step(t, "archive_extract", config()); err == nil {
			t.Errorf("a changed byte %d of %d goes unnoticed", i, len(whole))
		}
	}
	must(t, os.Remove(path))
	refuses(t, config(), "there is no such archive")
}

func gunzip(text []byte) ([]byte, error) {
	zip, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(zip)
}

// A few bytes may stand for more than a host has.
func TestExtractRefusesWhatIsHuge(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.tar.gz")
	f, err := os.Create(path)
	must(t, err)
	zip := gzip.NewWriter(f)
	out := tar.NewWriter(zip)
	zeros := make([]byte, 1<<20)
	for _, name := range []string{"f", "g"} {
		must(t, out.WriteHeader(&tar.Header{Name: strings.TrimPrefix(dir+"/d/"+name, "/"), Typeflag: tar.TypeReg, Size: 40 << 20}))
		for range 40 {
			_, err := out.Write(zeros)
			must(t, err)
		}
	}
	must(t, out.Close())
	must(t, zip.Close())
	must(t, f.Close())
	refuses(t, map[string]any{"archive": path, "files": []string{dir + "/d/f", dir + "/d/g"}}, "too large")
	_, c, err := step(t, "archive_extract", map[string]any{"archive": path, "files": []string{dir + "/d/g"}, "to": map[string]string{dir + "/d/g": dir + "/g"}})
	if err != nil || len(c.Items) != 1 {
		t.Errorf("one of them: %v, %v", c.Items, err)
	}
}

// An archive that has been changed since the plan isn't taken for the planned one.
func TestExtractFromWhatWasPlanned(t *testing.T) {
	dir := t.TempDir()
	path := packed(t, dir)
	req, c, err := step(t, "archive_extract", map[string]any{"archive": path, "files": []string{dir + "/admin.conf"}})
	must(t, err)
	pack(t, path, aFile(strings.TrimPrefix(dir+"/admin.conf", "/"), "other"))
	if _, err := local.Apply(t.Context(), req, c, quiet{}); err == nil || !strings.Contains(err.Error(), "something else is here") {
		t.Errorf("got %v", err)
	}
}

// What the action archive packs comes back as it was.
func TestExtractUndoesALoss(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/etc/pki/ca.crt")
	write(t, dir+"/etc/manifests/etcd.yaml")
	must(t, os.Chmod(dir+"/etc/pki", 0o710))
	must(t, os.Chtimes(dir+"/etc/pki", packedAt, packedAt))
	must(t, os.Symlink("pki", dir+"/etc/link"))
	req, c, err := step(t, "archive", map[string]any{"path": dir + "/a.tar.gz", "sources": []string{dir + "/etc"}})
	must(t, err)
	_, err = local.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	must(t, os.RemoveAll(dir+"/etc/pki"))
	must(t, os.Remove(dir+"/etc/manifests/etcd.yaml"))
	extracts(t, map[string]any{"archive": dir + "/a.tar.gz", "files": []string{dir + "/etc/pki", dir + "/etc/manifests"}})
	reads(t, dir+"/etc/pki/ca.crt", dir+"/etc/pki/ca.crt")
	reads(t, dir+"/etc/manifests/etcd.yaml", dir+"/etc/manifests/etcd.yaml")
	info, err := os.Stat(dir + "/etc/pki")
	must(t, err)
	if info.Mode().Perm() != 0o710 || !info.ModTime().Equal(packedAt) {
		t.Errorf("the directory has mode %v and is of %v", info.Mode(), info.ModTime())
	}
}
