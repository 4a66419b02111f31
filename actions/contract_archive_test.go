package actions_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

// archiveScene packs a tree of all kinds of files, but for a part of it.
func archiveScene(t *testing.T) contract.Scene {
	dir := dataDir(t)
	for _, name := range []string{"one", "two"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	path := filepath.Join(dir, "one", "a.tar.gz")
	return contract.Scene{
		Config: config{"path": cty.StringVal(path), "sources": texts(dir+"/outside", dir+"/data/"), "exclude": texts(dir+"/data/member/wal", dir+"/data/tool"),
			"copies": texts(dir + "/two")},
		Observe: observeArchives(dir),
		Applied: func(t *testing.T) {
			mode(t, path, 0o600)
			mode(t, filepath.Join(dir, "two", "a.tar.gz"), 0o600)
			unpacked(t, path, dir)
		},
	}
}

// unpacked unpacks an archive with tar and compares what comes out.
func unpacked(t *testing.T, path, dir string) {
	t.Helper()
	to, whole := t.TempDir(), filepath.Join(t.TempDir(), "whole")
	for _, args := range [][]string{{"tar", "-xpzf", path, "-C", to}, {"cp", "-a", filepath.Join(dir, "data"), whole}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	for _, name := range []string{"tool", "member/wal", "pipe"} {
		must(t, gone(filepath.Join(to, dir, "data", name)))
		must(t, os.RemoveAll(filepath.Join(whole, name)))
	}
	want := contract.Tree(t, whole)
	if got := contract.Tree(t, filepath.Join(to, dir, "data")); got != want {
		t.Errorf("unpacked:\n%s\npacked:\n%s", got, want)
	}
	holds(t, filepath.Join(to, dir, "outside"), "not to be touched")
}

func archiveOver(t *testing.T) contract.Scene {
	dir := t.TempDir()
	contract.Write(t, filepath.Join(dir, "keys", "ca.key"), "secret")
	path := filepath.Join(dir, "a.tar.gz")
	contract.Write(t, path, "an older archive")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(path), "sources": texts(dir + "/keys")},
		Observe: observeArchives(dir),
	}
}

// observeArchives describes archives by what is in them but the times: those of
// directories are the scene's own.
func observeArchives(dir string) func(*testing.T) string {
	return func(t *testing.T) string {
		var b strings.Builder
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || strings.Contains(d.Name(), ".undone-") {
				return err
			}
			info, err := d.Info()
			fmt.Fprintf(&b, "%s %v\n", strings.TrimPrefix(path, dir), info.Mode())
			if err == nil && strings.Contains(d.Name(), ".tar.gz") && d.Type().IsRegular() {
				listArchive(t, &b, path, dir)
			}
			return err
		}))
		return b.String()
	}
}

func listArchive(t *testing.T, b *strings.Builder, path, dir string) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		fmt.Fprintf(b, "  %v\n", err)
		return
	}
	in := tar.NewReader(zip)
	for {
		h, err := in.Next()
		sum := sha256.New()
		if err == nil {
			_, err = io.Copy(sum, in)
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil { // one that was cut short
			fmt.Fprintf(b, "  %v\n", err)
			return
		}
		fmt.Fprintf(b, "  %s %o %d:%d %s %x\n", strings.TrimPrefix(h.Name, dir[1:]), h.Mode, h.Uid, h.Gid, h.Linkname, sum.Sum(nil))
	}
}

func badArchive() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("path", "a"), Attribute: "path", Message: "must be absolute"},
		{Name: "relative source", Set: setTo("sources", texts("etc")), Attribute: "sources", Message: "must be absolute"},
		{Name: "no source", Set: setTo("sources", cty.ListValEmpty(cty.String)), Attribute: "sources", Message: "at least one path"},
		{Name: "a source that isn't there", Set: setTo("sources", texts("/no/such")), Attribute: "sources", Message: "nothing to pack"},
		{Name: "a source that is a link", Set: setTo("sources", texts("/proc/self")), Attribute: "sources", Message: "is a symbolic link"},
		{Name: "null to leave out", Set: setTo("exclude", cty.ListVal([]cty.Value{cty.NullVal(cty.String)})), Attribute: "exclude", Message: "must not be null"},
		{Name: "in itself", Attribute: "path", Message: "hold itself", Set: func(_ *testing.T, c config) {
			c["sources"] = texts(filepath.Dir(c["path"].AsString()))
		}},
		{Name: "beside itself", Attribute: "copies", Message: "twice", Set: func(_ *testing.T, c config) {
			c["copies"] = texts(filepath.Dir(c["path"].AsString()))
		}},
		{Name: "no directory for a copy", Set: setTo("copies", texts("/no/such")), Attribute: "copies", Message: "no such directory"},
		{Name: "a directory", Set: set("path", "/etc"), Attribute: "path", Message: "is no regular file"},
	}
}
