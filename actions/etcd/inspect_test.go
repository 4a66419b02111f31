package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/actions/etcd/inspect"
)

// rehash replaces the trailing hash, so that only the structure can tell.
func rehash(data []byte) []byte {
	body := data[:len(data)-sha256.Size]
	sum := sha256.Sum256(body)
	return append(append([]byte{}, body...), sum[:]...)
}

func TestInspect(t *testing.T) {
	f := newFixture(t)
	good, err := os.ReadFile(f.snapshot)
	must(t, err)
	page := os.Getpagesize()
	damage := func(change func(b []byte) []byte) func() []byte {
		return func() []byte { return change(append([]byte{}, good...)) }
	}
	for name, tt := range map[string]struct {
		data func() []byte
		says string
	}{
		"empty":                {func() []byte { return nil }, "it is empty"},
		"cut in a sector":      {func() []byte { return good[:len(good)/2+7] }, "truncated"},
		"cut at a page":        {func() []byte { return good[:2*page] }, "truncated: its database has"},
		"not a database":       {func() []byte { return make([]byte, 8*page) }, "not a bbolt database"},
		"one bit flipped":      {damage(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), "don't match its SHA-256"},
		"root page, rehash":    {damage(func(b []byte) []byte { clear(b[rootPage(b)*page:][:16]); return rehash(b) }), "identifies itself as page 0"},
		"both metas, rehash":   {damage(func(b []byte) []byte { b[20] ^= 1; b[page+20] ^= 1; return rehash(b) }), "not a bbolt database"},
		"all pages, rehash":    {damage(func(b []byte) []byte { clear(b[2*page : len(b)-32]); return rehash(b) }), ""},
		"garbage pages rehash": {damage(func(b []byte) []byte { scribble(b[2*page : len(b)-32]); return rehash(b) }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.db")
			must(t, os.WriteFile(path, tt.data(), 0o600))
			info, err := inspect.File(t.Context(), path)
			var damaged *inspect.Damaged
			if !errors.As(err, &damaged) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %+v, %v", info, err)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "goroutine") {
				t.Errorf("not a plain sentence: %q", err)
			}
			t.Log(err)
		})
	}
}

// rootPage is the number of the root page that the first meta page names.
func rootPage(b []byte) int { return int(binary.LittleEndian.Uint64(b[32:])) }

func scribble(b []byte) {
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
}

func TestInspectGood(t *testing.T) {
	f := newFixture(t)
	before := tree(t, f.dir)
	info := mustInspect(t, f.snapshot)
	if info.Keys != 19 || info.Revision != 23 || info.TotalKeys != 22 || info.Hash == "" || len(info.Members) != 1 || !strings.HasPrefix(info.StorageVersion, "3.") {
		t.Errorf("got %+v", info)
	}
	db := mustInspect(t, filepath.Join(f.data, "member", "snap", "db"))
	if db.Hash != "" || db.Keys != 29 || db.ContentHash == info.ContentHash {
		t.Errorf("got %+v", db)
	}
	if tree(t, f.dir) != before {
		t.Error("inspecting changed something")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inspect.File(ctx, f.snapshot); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestInspectOneMeta(t *testing.T) {
	f := newFixture(t)
	data, err := os.ReadFile(f.snapshot)
	must(t, err)
	data[os.Getpagesize()+20] ^= 1
	must(t, os.WriteFile(f.snapshot, rehash(data), 0o600))
	if info := mustInspect(t, f.snapshot); len(info.Warnings) != 1 || !strings.Contains(info.Warnings[0], "second meta page") {
		t.Errorf("got %+v", info)
	}
}

func TestSnapshotData(t *testing.T) {
	f := newFixture(t)
	good, err := os.ReadFile(f.snapshot)
	must(t, err)
	dir := t.TempDir()
	write := func(name string, data []byte, age time.Duration) {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, data, 0o600))
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
	}
	write("newest.db", good[:len(good)-512], time.Minute)
	write("empty.db", nil, 2*time.Minute)
	write("good.db", good, time.Hour)
	write("older.db", good, 2*time.Hour)
	write(".hidden.db", good, 0)
	write("arriving.db.part", good, 0)
	res, err := read(t, "etcd_snapshot", attrs{"directory": dir})
	must(t, err)
	if res["path"] != filepath.Join(dir, "good.db") || len(res["rejected"].([]rejection)) != 2 || res["keys"] != int64(19) {
		t.Errorf("got %+v", res)
	}
	must(t, os.Remove(filepath.Join(dir, "good.db")))
	must(t, os.Remove(filepath.Join(dir, "older.db")))
	_, err = read(t, "etcd_snapshot", attrs{"directory": dir})
	if err == nil || !strings.Contains(err.Error(), "newest.db: ") || !strings.Contains(err.Error(), "empty.db: it is empty") {
		t.Errorf("got %v", err)
	}
	for says, a := range map[string]attrs{
		"no such directory":      {"directory": dir + "/x"},
		"the directory is empty": {"directory": t.TempDir()},
		"matches":                {"directory": dir, "pattern": "backup-*"},
		"no such file":           {"path": dir + "/x.db"},
		"it is empty":            {"path": dir + "/empty.db"},
		"at most one":            {"path": dir, "directory": dir},
		"no directory holds":     {"directories": []string{dir + "/x", t.TempDir()}},
	} {
		if _, err := read(t, "etcd_snapshot", a); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: got %v", a, err)
		}
	}
}

func TestMemberData(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	env := filepath.Join(dir, "env")
	must(t, os.WriteFile(env, []byte("ETCD_NAME=n1\nETCD_DATA_DIR="+data+"\nETCD_INITIAL_CLUSTER=n1=http://localhost:2380\n"), 0o600))
	fragment := "/usr/lib/systemd/system/etcd.service"
	write(t, dir, map[string]string{
		fragment: "[Service]\nUser=daemon\nExecStart=/usr/bin/etcd\n",
		"/etc/systemd/system/etcd.service.d/a.conf": "[Service]\nEnvironmentFile=" + env + "\n",
	})
	res, err := readIn(t, dir, "etcd_member", attrs{"unit": "etcd.service"})
	must(t, err)
	if res["name"] != "n1" || res["data_dir"] != data || res["owner"] != "daemon" || res["mode"] != "0700" || res["uid"] != 1 {
		t.Errorf("got %+v", res)
	}
	must(t, os.Mkdir(data, 0o750))
	for _, c := range []struct{ user, owner, uid, gid int }{{1, 1, 1, 34}, {1, 12, 1, 1}, {0, 12, 12, 34}} {
		write(t, dir, map[string]string{fragment: fmt.Sprintf("[Service]\nUser=%d\nExecStart=/usr/bin/etcd\n", c.user)})
		must(t, os.Chown(data, c.owner, 34))
		res, err = readIn(t, dir, "etcd_member", attrs{"unit": "etcd"})
		must(t, err)
		if res["uid"] != c.uid || res["gid"] != c.gid || res["mode"] != "0750" {
			t.Errorf("etcd runs as %d, its data is user %d's: got %+v", c.user, c.owner, res)
		}
	}
	conf := filepath.Join(dir, "etcd.yaml")
	must(t, os.WriteFile(conf, []byte("name: n2\ndata-dir: "+data+"\n"), 0o600))
	if res, err = read(t, "etcd_member", attrs{"config": conf}); err != nil || res["name"] != "n2" {
		t.Errorf("got %+v %v", res, err)
	}
	for says, a := range map[string]attrs{
		"no such unit":     {"unit": "nothing"},
		"no such file":     {"manifest": dir + "/none.yaml"},
		"at most one":      {"unit": "etcd", "config": conf},
		"parsing the etcd": {"config": env},
	} {
		if _, err := read(t, "etcd_member", a); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: got %v", a, err)
		}
	}
}

// TestLookupNumber looks for the group of a user who is given as a number: it
// often isn't the same number.
func TestLookupNumber(t *testing.T) {
	for owner, want := range map[string]int{"6": 12, "man": 12, "4000": 4000} { // as every Debian has them
		if _, gid, err := lookup(owner, ""); err != nil || gid != want {
			t.Errorf("the group of %s: %d %v, want %d", owner, gid, err, want)
		}
	}
}
