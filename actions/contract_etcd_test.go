package actions_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"

	"runbook/actions/etcd/inspect"
	"runbook/test/contract"
)

func etcdCases() []contract.Case {
	return []contract.Case{
		{Name: "over a damaged data directory", Action: "etcd_snapshot_restore", Setup: restoreDamaged,
			Bad: badRestore(), Fails: failingRestore()},
		{Name: "where there is no data", Action: "etcd_snapshot_restore", Setup: restoreNothing, Bad: badRestoreAlone()},
		{Name: "with a log of its own", Action: "etcd_snapshot_restore", Setup: restoreLog, Bad: badRestoreLog()},
		{Name: "a running etcd", Action: "etcd_snapshot_save", Setup: saveScene,
			Bad: append(badConnection(), badSave()...), Fails: unreachable("no endpoint gave a snapshot")},
		{Name: "a stale alarm", Action: "etcd_alarm_disarm", Setup: alarmScene, Syscalls: []string{"write"},
			Bad: append(badConnection(), failingTLS()...), Fails: unreachable("no endpoint answers")},
		{Name: "with copies", Action: "etcd_snapshot_save", Setup: saveCopies, Bad: badCopies(), Fails: failingSave()},
		{Name: "only the copies", Action: "etcd_snapshot_save", Setup: saveOnlyCopies},
		{Name: "by count", Action: "etcd_snapshot_prune", Setup: pruneScene, Bad: badPrune()},
		{Name: "a week of failed backups", Action: "etcd_snapshot_prune", Looks: true, Setup: pruneNothing},
		{Name: "a good snapshot", Action: "etcd_snapshot_verify", Setup: verifyScene, Bad: badVerify()},
		{Name: "a running etcd", Action: "etcd_health", Setup: healthScene,
			Bad: badConnection(), Fails: append(unreachable("connection refused"), failingTLS()...)},
		{Name: "a single member", Action: "etcd_members", Setup: membersScene,
			Bad: append(badConnection(), badMembers()...), Fails: append(unreachable("connection refused"), failingMembers()...)},
		{Name: "after the snapshot", Action: "etcd_compare", Setup: compareScene,
			Bad: append(badConnection(), badCompare()...), Fails: append(unreachable("connection refused"), failingCompare()...)},
	}
}

const (
	// scenes is where each scene is made anew, in place of the one before: a
	// restored directory takes more than 64 MiB, and a case makes hundreds.
	scenes  = "/var/lib/contract"
	dataAt  = scenes + "/etcd"
	walAt   = scenes + "/wal"
	backup  = scenes + "/backup.db"
	peerURL = "http://127.0.0.11:2380" // advertised, never listened on
	nobody  = "http://127.0.0.1:1"     // nobody listens there
)

// fresh empties the place of scenes and puts a snapshot there.
func fresh(t *testing.T) {
	t.Helper()
	must(t, os.RemoveAll(scenes))
	contract.Write(t, backup, string(running(t).snapshot))
}

// etcd is one in this process that serves until the process ends, and a
// snapshot of it. Every scene is made from the one.
type etcd struct {
	endpoint string
	snapshot []byte
}

func running(t *testing.T) etcd {
	t.Helper()
	e, err := startOnce()
	must(t, err)
	return e
}

var startOnce = sync.OnceValues(func() (etcd, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		return etcd{}, err
	}
	server, err := embed.StartEtcd(embedded(dir))
	if err != nil {
		return etcd{}, err
	}
	select {
	case <-server.Server.ReadyNotify():
	case <-ctx.Done():
		return etcd{}, ctx.Err()
	}
	e := etcd{endpoint: "http://" + server.Clients[0].Addr().String()}
	e.snapshot, err = filled(ctx, e.endpoint)
	return e, err
})

func embedded(dir string) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Dir, cfg.Name = filepath.Join(dir, "data"), "cp1"
	cfg.LogLevel, cfg.LogOutputs = "fatal", []string{filepath.Join(dir, "log")}
	// Children reach it over TCP as a user's etcd is reached.
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "peer")}}
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: strings.TrimPrefix(peerURL, "http://")}}
	cfg.InitialCluster = "cp1=" + peerURL
	cfg.UnsafeNoFsync = true
	return cfg
}

// filled writes keys, one of them twice and one deleted again, and takes a
// snapshot.
func filled(ctx context.Context, endpoint string) (snapshot []byte, err error) {
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Context: ctx})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cli.Close()) }()
	for i := range 20 {
		if _, err := cli.Put(ctx, fmt.Sprintf("/registry/pods/%02d", i%19), fmt.Sprint("pod ", i)); err != nil {
			return nil, err
		}
	}
	if _, err := cli.Delete(ctx, "/registry/pods/07"); err != nil {
		return nil, err
	}
	stream, err := cli.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	return io.ReadAll(stream)
}

// memberConfig is what data.etcd_member says of the member that is restored.
func memberConfig(more config) cty.Value {
	m := config{
		"name": cty.StringVal("cp1"), "data_dir": cty.StringVal(dataAt), "peer_urls": texts(peerURL),
		"initial_cluster": cty.StringVal("cp1=" + peerURL), "initial_cluster_token": cty.StringVal("etcd-cluster-1"),
	}
	for name, v := range more {
		m[name] = v
	}
	return cty.ObjectVal(m)
}

func texts(s ...string) cty.Value {
	var vals []cty.Value
	for _, text := range s {
		vals = append(vals, cty.StringVal(text))
	}
	return cty.ListVal(vals)
}

// damaged makes what is left of a member, daemon's and with a mode of its own.
func damaged(t *testing.T, wal string) {
	t.Helper()
	contract.Write(t, filepath.Join(dataAt, "member", "snap", "db"), strings.Repeat("not a database", 1000))
	contract.Write(t, filepath.Join(dataAt, "member", "snap", "0000000000000001-0000000000000002.snap"), "torn")
	contract.Write(t, filepath.Join(wal, "0000000000000000-0000000000000000.wal"), "a torn log")
	contract.Write(t, filepath.Join(scenes, "neighbour", "file"), "not to be touched")
	for _, root := range []string{dataAt, wal} {
		must(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, 1, 4000))
		}))
		must(t, os.Chmod(root, 0o750))
	}
}

func restoreDamaged(t *testing.T) contract.Scene {
	fresh(t)
	damaged(t, filepath.Join(dataAt, "member", "wal"))
	return contract.Scene{
		Config:  config{"snapshot": cty.StringVal(backup), "member": memberConfig(nil)},
		Observe: observeRestore,
		Applied: func(t *testing.T) {
			restoredAs(t, dataAt, 1, 4000, 0o750)
			exists(t, dataAt+".before-20260102-030405-abcd/member/wal/0000000000000000-0000000000000000.wal")
		},
	}
}

// restoreNothing gives every setting itself, as where nothing of the member is
// left to be read.
func restoreNothing(t *testing.T) contract.Scene {
	fresh(t)
	return contract.Scene{
		Config: config{
			"snapshot": cty.StringVal(backup), "data_dir": cty.StringVal(dataAt + "/"), "name": cty.StringVal("cp1"),
			"initial_advertise_peer_urls": texts(peerURL), "initial_cluster_token": cty.StringVal("new-1"),
			"owner": cty.StringVal("2"), "group": cty.StringVal("4000"), "bump_revision": cty.Zero,
		},
		Observe: observeRestore,
		Applied: func(t *testing.T) { restoredAs(t, dataAt, 2, 4000, 0o700) },
	}
}

func restoreLog(t *testing.T) contract.Scene {
	fresh(t)
	damaged(t, walAt)
	return contract.Scene{
		Config:  config{"snapshot": cty.StringVal(backup), "member": memberConfig(config{"wal_dir": cty.StringVal(walAt)})},
		Observe: observeRestore,
		Applied: func(t *testing.T) {
			restoredAs(t, dataAt, 1, 4000, 0o750)
			restoredAs(t, walAt, 1, 4000, 0o750)
			if _, err := os.Lstat(filepath.Join(dataAt, "member", "wal")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a second log, in the data directory: %v", err)
			}
		},
	}
}

// restoredAs checks whose the restored directory is, and that the database in
// it, if it is one with a database, holds what the snapshot holds.
func restoredAs(t *testing.T, dir string, uid, gid uint32, mode fs.FileMode) {
	t.Helper()
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != mode {
		t.Errorf("%s has the mode %v, want %v", dir, info.Mode(), mode)
	}
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		owned(t, path, uid, gid)
		return err
	}))
	db := filepath.Join(dir, "member", "snap", "db")
	if _, err := os.Lstat(db); errors.Is(err, fs.ErrNotExist) {
		return
	}
	want, err := inspect.File(t.Context(), backup)
	must(t, err)
	got, err := inspect.File(t.Context(), db)
	must(t, err)
	if got.ContentHash != want.ContentHash || got.Keys != want.Keys {
		t.Errorf("restored %+v, the snapshot holds %+v", got, want)
	}
}

// observeRestore describes what a restore may touch. What Undo sets aside is
// kept beside the data for good, so it isn't looked at, but for not being the
// old data.
func observeRestore(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(scenes, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), ".undone-") {
			return setAside(t, path, d)
		}
		if err == nil {
			err = observePath(&b, path)
		}
		return err
	}))
	return b.String()
}

// setAside fails the test where what Undo has set aside is older than the
// step.
func setAside(t *testing.T, path string, d fs.DirEntry) error {
	t.Helper()
	must(t, filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if info, err := d.Info(); err == nil && d.Type().IsRegular() && info.ModTime().Equal(sceneTime) {
			t.Errorf("Undo has set aside what was there before: %s", path)
		}
		return err
	}))
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// sceneTime is when the files of a scene were last written.
var sceneTime = time.Unix(1767225600, 0)

// observePath writes a line about what is at path.
func observePath(b *strings.Builder, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	fmt.Fprintf(b, "%q %v %d:%d", strings.TrimPrefix(path, scenes), info.Mode(), st.Uid, st.Gid)
	if info.Mode().IsRegular() {
		what, err := observeContent(path, info)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, " %s", what)
	}
	b.WriteString("\n")
	return nil
}

// observeContent describes a file of the scene by its bytes and its time, and
// one that the action made by what two restores of the same snapshot have in
// common. The bytes of such small databases happen to agree; they needn't, as
// bbolt chooses among free pages in the order of a Go map, so a database is
// described by its keys and values, and not by its size either.
func observeContent(path string, info fs.FileInfo) (string, error) {
	switch isNew := !info.ModTime().Equal(sceneTime); {
	case isNew && filepath.Base(path) == "db" && !strings.Contains(path, ".partial/"): // half of one can't be opened
		return observeDatabase(path)
	case isNew && filepath.Ext(path) == ".wal":
		return observeHead(path)
	}
	data, err := os.ReadFile(path)
	if strings.HasPrefix(filepath.Base(path), "runbook-") {
		data = inodes.ReplaceAll(data, []byte("$1 N")) // the scene's own
	}
	return fmt.Sprintf("%x %v", sha256.Sum256(data), info.ModTime().Equal(sceneTime)), err
}

var inodes = regexp.MustCompile(`("inode":) \d+`)

// observeDatabase describes every key and value in every bucket.
func observeDatabase(path string) (string, error) {
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: time.Minute})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(bucket []byte, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				_, err := fmt.Fprintf(h, "%x %x %x\n", bucket, k, v)
				return err
			})
		})
	})
	return fmt.Sprintf("%x", h.Sum(nil)), errors.Join(err, db.Close())
}

// observeHead describes the start of a log, where all of a new one's records
// are: the rest of its 64 MiB is allocated beforehand.
func observeHead(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	var head bytes.Buffer
	_, err = io.Copy(&head, io.LimitReader(f, 64<<10))
	info, statErr := f.Stat()
	if statErr != nil {
		return "", errors.Join(statErr, f.Close())
	}
	return fmt.Sprintf("%d %x", info.Size(), sha256.Sum256(head.Bytes())), errors.Join(err, f.Close())
}

// setTo makes a mistake in one attribute that isn't a text.
func setTo(attribute string, v cty.Value) func(*testing.T, config) {
	return func(_ *testing.T, c config) { c[attribute] = v }
}

func badRestore() []contract.Bad {
	return []contract.Bad{
		{Name: "relative snapshot", Set: set("snapshot", "backup.db"), Attribute: "snapshot", Message: "not an absolute path"},
		{Name: "relative directory", Set: set("data_dir", "etcd"), Attribute: "data_dir", Message: "not an absolute path"},
		{Name: "no snapshot", Set: set("snapshot", scenes+"/no.db"), Attribute: "snapshot", Message: "there is no such file"},
		{Name: "snapshot is a directory", Set: set("snapshot", scenes+"/neighbour"), Attribute: "snapshot", Message: "it is not a regular file"},
		{Name: "torn snapshot", Attribute: "snapshot", Message: "can't be used", Set: func(t *testing.T, _ config) {
			snapshot := running(t).snapshot
			contract.Write(t, backup, string(snapshot[:len(snapshot)/2]))
		}},
		{Name: "one bit of the snapshot", Attribute: "snapshot", Message: "SHA-256", Set: func(t *testing.T, _ config) { flipBit(t, backup) }},
		{Name: "another name", Set: set("name", "cp2"), Attribute: "name", Message: `which is started with "cp1"`},
		{Name: "another peer URL", Set: setTo("initial_advertise_peer_urls", texts("http://127.0.0.12:2380")),
			Attribute: "initial_advertise_peer_urls", Message: "would not fit this member"},
		{Name: "peer URL that is none", Attribute: "initial_advertise_peer_urls", Message: "127.0.0.11",
			Set: func(_ *testing.T, c config) { c["member"] = memberConfig(config{"peer_urls": texts("127.0.0.11")}) }},
		{Name: "the old token", Set: set("initial_cluster_token", "etcd-cluster-1"),
			Attribute: "initial_cluster_token", Message: "is the old cluster's"},
		{Name: "cluster without the member", Set: set("initial_cluster", "cp2=http://127.0.0.12:2380"), Attribute: "name", Message: "not in the initial cluster"},
		{Name: "negative bump", Set: setTo("bump_revision", cty.NumberIntVal(-1)), Attribute: "bump_revision", Message: "a whole number"},
		{Name: "half a bump", Set: setTo("mark_compacted", cty.False), Attribute: "mark_compacted", Message: "bump_revision is 1000000000"},
		{Name: "bump in words", Set: set("bump_revision", "many"), Attribute: "bump_revision", Message: "a number is required"},
		{Name: "member without a directory", Set: setTo("member", cty.ObjectVal(config{"name": cty.StringVal("cp1")})),
			Attribute: "member", Message: `"data_dir" is required`},
		{Name: "unknown owner", Set: set("owner", "nobody-knows"), Attribute: "owner", Message: "no such user"},
		{Name: "unknown group", Set: set("group", "nobody-knows"), Attribute: "group", Message: "no such group"},
		{Name: "a snapshot too new for etcd", Attribute: "snapshot", Message: "too new for the etcd of this host",
			Set: func(_ *testing.T, c config) { c["member"] = memberConfig(config{"version": cty.StringVal("3.5.9")}) }},
		{Name: "a snapshot too new for the etcd that will run it", Attribute: "snapshot", Message: "too new for the etcd that will run it",
			Set: set("etcd_version", "3.6.1")},
		{Name: "directory is a file", Set: set("data_dir", backup), Attribute: "data_dir", Message: "it is not a directory"},
	}
}

// flipBit damages a file where only its checksum tells.
func flipBit(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	i := bytes.LastIndex(data, []byte("pod 11"))
	data[i] ^= 1
	contract.Write(t, path, string(data))
}

// failingRestore has the old directory in use, by a lock as etcd takes it.
func failingRestore() []contract.Bad {
	return []contract.Bad{
		{Name: "database in use", Message: "the data directory is in use", Set: func(t *testing.T, _ config) {
			lockWhole(t, held(t, filepath.Join(dataAt, "member", "snap", "db")))
		}},
	}
}

// lockWhole takes the lock that bbolt takes.
func lockWhole(t *testing.T, f *os.File) {
	t.Helper()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
}

func held(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return f
}

func badRestoreAlone() []contract.Bad {
	without := func(attribute string) func(*testing.T, config) {
		return func(_ *testing.T, c config) { delete(c, attribute) }
	}
	return []contract.Bad{
		{Name: "no name", Set: without("name"), Attribute: "name", Message: "is not known"},
		{Name: "no directory", Set: without("data_dir"), Attribute: "data_dir", Message: "is not known"},
		{Name: "no peer URLs", Set: without("initial_advertise_peer_urls"), Attribute: "initial_advertise_peer_urls", Message: "is not known"},
		{Name: "no parent", Set: set("data_dir", scenes+"/no/such"), Attribute: "data_dir", Message: "parent directory does not exist"},
	}
}

func badRestoreLog() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("wal_dir", "wal"), Attribute: "wal_dir", Message: "not an absolute path"},
		{Name: "mount point", Attribute: "wal_dir", Message: "is a mount point", Set: func(t *testing.T, _ config) { mountOn(t, walAt) }},
		{Name: "no parent", Set: set("wal_dir", scenes+"/no/such"), Attribute: "wal_dir", Message: "parent directory does not exist"},
		{Name: "around the data", Set: set("wal_dir", scenes), Attribute: "wal_dir", Message: "the data directory, or around it"},
		{Name: "the data directory itself", Set: set("wal_dir", dataAt), Attribute: "wal_dir", Message: "the data directory, or around it"},
	}
}

func saveScene(t *testing.T) contract.Scene {
	fresh(t)
	path := filepath.Join(scenes, "new.db")
	return contract.Scene{
		Config:  config{"endpoints": texts(running(t).endpoint), "path": cty.StringVal(path)},
		Observe: observeSave,
		Applied: func(t *testing.T) {
			got, err := inspect.File(t.Context(), path)
			must(t, err)
			want, err := inspect.File(t.Context(), backup)
			must(t, err)
			if got.ContentHash != want.ContentHash || got.Hash == "" {
				t.Errorf("saved %+v, etcd holds %+v", got, want)
			}
		},
	}
}

// saveCopies saves to two further directories.
func saveCopies(t *testing.T) contract.Scene {
	scene := saveScene(t)
	for _, dir := range []string{"copies", "more"} {
		must(t, os.Mkdir(filepath.Join(scenes, dir), 0o755))
	}
	scene.Config["copies"] = texts(scenes+"/copies", scenes+"/more/")
	scene.Config["data_dir"] = cty.StringVal(scenes)
	first := scene.Applied
	scene.Applied = func(t *testing.T) {
		first(t)
		want, err := os.ReadFile(filepath.Join(scenes, "new.db"))
		must(t, err)
		for _, dir := range []string{"copies", "more"} {
			got, err := os.ReadFile(filepath.Join(scenes, dir, "new.db"))
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("the copy in %s is another", dir)
			}
		}
	}
	return scene
}

// saveOnlyCopies finds the snapshot, and one of its copies, made already.
func saveOnlyCopies(t *testing.T) contract.Scene {
	scene := saveCopies(t)
	snapshot := string(running(t).snapshot)
	contract.Write(t, filepath.Join(scenes, "new.db"), snapshot)
	contract.Write(t, filepath.Join(scenes, "copies", "new.db"), snapshot)
	return scene
}

func badCopies() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: setTo("copies", texts("copies")), Attribute: "copies", Message: "not an absolute path"},
		{Name: "beside the snapshot", Set: setTo("copies", texts(scenes+"/")), Attribute: "copies", Message: "would hold the snapshot twice"},
		{Name: "twice", Set: setTo("copies", texts(scenes+"/more", scenes+"/more")), Attribute: "copies", Message: "would hold the snapshot twice"},
		{Name: "no directory", Set: setTo("copies", texts(scenes+"/no")), Attribute: "copies", Message: "it is no directory"},
		{Name: "null", Set: setTo("copies", cty.ListVal([]cty.Value{cty.NullVal(cty.String)})), Attribute: "copies", Message: "must not be null"},
		{Name: "occupied", Attribute: "copies", Message: "isn't a copy of the snapshot", Set: func(t *testing.T, c config) {
			contract.Write(t, filepath.Join(scenes, "copies", "other.db"), "another one")
			c["path"] = cty.StringVal(scenes + "/other.db")
		}},
		{Name: "no room", Attribute: "copies", Message: "and only", Set: func(t *testing.T, c config) {
			contract.Write(t, filepath.Join(dataAt, "member", "snap", "db"), strings.Repeat("0123456789abcdef", 4<<10))
			c["data_dir"] = cty.StringVal(dataAt)
			c["copies"] = texts(smallDisk(t))
		}},
	}
}

// smallDisk is a file system that no snapshot fits on.
func smallDisk(t *testing.T) string {
	small := filepath.Join(scenes, "small")
	must(t, os.Mkdir(small, 0o755))
	must(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=8k"))
	t.Cleanup(func() { must(t, unix.Unmount(small, 0)) })
	return small
}

// failingSave finds out only from etcd how large the snapshot will be.
func failingSave() []contract.Bad {
	return []contract.Bad{{Name: "full", Message: "and only", Set: func(t *testing.T, c config) {
		delete(c, "data_dir")
		c["copies"] = texts(smallDisk(t))
	}}}
}

// observeSave describes saved snapshots by their keys. The rest of such a file
// is etcd's own: it goes on to record versions in it while it runs.
func observeSave(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(scenes, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.Contains(e.Name(), ".undone-"):
			return setAside(t, path, e)
		case e.Name() != "new.db" || !e.Type().IsRegular():
			return observePath(&b, path)
		}
		info, err := inspect.File(t.Context(), path)
		must(t, err)
		st, err := os.Lstat(path)
		must(t, err)
		fmt.Fprintf(&b, "%s %v %s %d %v\n", path, st.Mode(), info.ContentHash, info.Revision, st.ModTime().Equal(sceneTime))
		owned(t, path, 0, 0)
		return nil
	}))
	return b.String()
}

func badSave() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("path", "new.db"), Attribute: "path", Message: "not an absolute path"},
		{Name: "no parent", Set: set("path", scenes+"/no/new.db"), Attribute: "path", Message: "parent directory does not exist"},
		{Name: "a directory", Set: set("path", scenes), Attribute: "path", Message: "it is not a regular file"},
		{Name: "occupied", Attribute: "path", Message: "isn't a snapshot that verifies",
			Set: func(t *testing.T, c config) {
				contract.Write(t, filepath.Join(scenes, "taken.db"), "a list")
				c["path"] = cty.StringVal(scenes + "/taken.db")
			}},
	}
}

// badConnection lists mistakes in what all that talk to etcd take.
func badConnection() []contract.Bad {
	return []contract.Bad{
		{Name: "no endpoints", Set: setTo("endpoints", cty.ListValEmpty(cty.String)), Attribute: "endpoints", Message: "at least one"},
		{Name: "no scheme", Set: setTo("endpoints", texts("127.0.0.1:2379")), Attribute: "endpoints", Message: "write http://127.0.0.1:2379 or https://127.0.0.1:2379"},
		{Name: "one endpoint as a text", Set: set("endpoints", "http://127.0.0.1:2379"), Attribute: "endpoints", Message: "list of string required"},
		{Name: "an endpoint that is null", Set: setTo("endpoints", cty.ListVal([]cty.Value{cty.NullVal(cty.String)})), Attribute: "endpoints", Message: "must not be null"},
		{Name: "no time", Set: setTo("timeout_seconds", cty.Zero), Attribute: "timeout_seconds", Message: "at least 1"},
		{Name: "half a second", Set: setTo("timeout_seconds", cty.NumberFloatVal(0.5)), Attribute: "timeout_seconds", Message: "a whole number"},
		{Name: "TLS as a path", Set: set("tls", "/etc/ssl/ca.crt"), Attribute: "tls", Message: "object required"},
	}
}

func unreachable(message string) []contract.Bad {
	return []contract.Bad{
		{Name: "unreachable", Attribute: "endpoints", Message: message, Set: setTo("endpoints", texts(nobody))},
		{Name: "TLS where etcd has none", Attribute: "endpoints", Message: "authentication handshake failed", Set: func(t *testing.T, c config) {
			c["endpoints"] = texts(strings.Replace(running(t).endpoint, "http:", "https:", 1))
		}},
	}
}

func failingTLS() []contract.Bad {
	return []contract.Bad{{Name: "no such CA", Attribute: "tls", Message: "/no/such", Set: func(_ *testing.T, c config) {
		c["tls"] = cty.ObjectVal(config{"ca": cty.StringVal("/no/such")})
	}}}
}

// alarmScene has an alarm of a member that there isn't.
func alarmScene(t *testing.T) contract.Scene {
	fresh(t)
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{running(t).endpoint}, Context: t.Context()})
	must(t, err)
	defer func() { must(t, cli.Close()) }()
	stale := &etcdserverpb.AlarmRequest{Action: etcdserverpb.AlarmRequest_ACTIVATE, MemberID: 4711, Alarm: etcdserverpb.AlarmType_NOSPACE}
	_, err = etcdserverpb.NewMaintenanceClient(cli.ActiveConnection()).Alarm(t.Context(), stale)
	must(t, err)
	t.Cleanup(func() { disarmAll(t) })
	return contract.Scene{
		Config: config{"endpoints": texts(running(t).endpoint)},
		// An alarm that is disarmed isn't raised again by Undo.
		Observe: observeRunning,
		Applied: func(t *testing.T) {
			if alarms := disarmAll(t); alarms != 0 {
				t.Errorf("%d alarms were raised still", alarms)
			}
		},
	}
}

// disarmAll disarms what alarms there are and returns how many.
func disarmAll(t *testing.T) int {
	t.Helper()
	ctx := context.Background() // the test's own has ended when it cleans up
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{running(t).endpoint}, Context: ctx})
	must(t, err)
	defer func() { must(t, cli.Close()) }()
	alarms, err := cli.AlarmList(ctx)
	must(t, err)
	for _, a := range alarms.Alarms {
		_, err := cli.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: a.GetMemberID(), Alarm: a.GetAlarm()})
		must(t, err)
	}
	return len(alarms.Alarms)
}

func verifyScene(t *testing.T) contract.Scene {
	fresh(t)
	return contract.Scene{Config: config{"path": cty.StringVal(backup), "min_keys": cty.NumberIntVal(18)}, Observe: observeRestore}
}

func badVerify() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("path", "backup.db"), Attribute: "path", Message: "not an absolute path"},
		{Name: "absent", Set: set("path", scenes+"/no.db"), Attribute: "path", Message: "there is no such file"},
		{Name: "one bit", Attribute: "path", Message: "SHA-256", Set: func(t *testing.T, _ config) { flipBit(t, backup) }},
		{Name: "empty", Attribute: "path", Message: "can't be used", Set: func(t *testing.T, _ config) { contract.Write(t, backup, "") }},
		{Name: "another's hash", Set: set("hash", strings.Repeat("0", 64)), Attribute: "hash", Message: "and not"},
		{Name: "hash that is none", Set: set("hash", "backup"), Attribute: "hash", Message: "64 hexadecimal digits"},
		{Name: "too few keys", Set: setTo("min_keys", cty.NumberIntVal(19)), Attribute: "min_keys", Message: "it holds 18 keys"},
		{Name: "keys below none", Set: setTo("min_keys", cty.NumberIntVal(-1)), Attribute: "min_keys", Message: "at least 0"},
		{Name: "too old", Set: setTo("min_revision", cty.NumberIntVal(1000)), Attribute: "min_revision", Message: "its revision is 22"},
		{Name: "half a key", Set: setTo("min_keys", cty.NumberFloatVal(0.5)), Attribute: "min_keys", Message: "a whole number"},
		{Name: "half a revision", Set: setTo("min_revision", cty.NumberFloatVal(0.5)), Attribute: "min_revision", Message: "a whole number"},
	}
}

func healthScene(t *testing.T) contract.Scene {
	fresh(t)
	return contract.Scene{Config: config{"endpoints": texts(running(t).endpoint)}, Observe: observeRunning}
}

// observeRunning describes the files, and what etcd holds.
func observeRunning(t *testing.T) string {
	t.Helper()
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{running(t).endpoint}, Context: t.Context()})
	must(t, err)
	defer func() { must(t, cli.Close()) }()
	got, err := cli.Get(t.Context(), "", clientv3.WithPrefix())
	must(t, err)
	return fmt.Sprintf("%srevision %d, %v\n", observeRestore(t), got.Header.Revision, got.Kvs)
}

func membersScene(t *testing.T) contract.Scene {
	s := healthScene(t)
	s.Config["expect"] = cty.ObjectVal(config{"cp1": texts(peerURL)})
	return s
}

func badMembers() []contract.Bad {
	return []contract.Bad{
		{Name: "a list", Set: setTo("expect", texts("cp1")), Attribute: "expect", Message: "map of list of string required"},
		{Name: "nobody", Set: setTo("expect", cty.EmptyObjectVal), Attribute: "expect", Message: "at least one member"},
	}
}

func failingMembers() []contract.Bad {
	expect := func(m config) func(*testing.T, config) { return setTo("expect", cty.ObjectVal(m)) }
	return []contract.Bad{
		{Name: "one too many", Set: expect(config{"cp1": texts(peerURL), "cp2": texts("http://127.0.0.12:2380")}), Attribute: "expect", Message: "cp2 is missing"},
		{Name: "another name", Set: expect(config{"cp2": texts(peerURL)}), Attribute: "expect", Message: "cp1 is not expected; cp2 is missing"},
		{Name: "another URL", Set: expect(config{"cp1": texts("http://127.0.0.12:2380")}), Attribute: "expect", Message: "cp1 has the peer URLs"},
	}
}

func compareScene(t *testing.T) contract.Scene {
	s := healthScene(t)
	s.Config["snapshot"] = cty.StringVal(backup)
	return s
}

func badCompare() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("snapshot", "backup.db"), Attribute: "snapshot", Message: "not an absolute path"},
		{Name: "absent", Set: set("snapshot", scenes+"/no.db"), Attribute: "snapshot", Message: "there is no such file"},
		{Name: "one bit", Attribute: "snapshot", Message: "SHA-256", Set: func(t *testing.T, _ config) { flipBit(t, backup) }},
		{Name: "no revision", Set: setTo("revision", cty.Zero), Attribute: "revision", Message: "at least 1"},
		{Name: "half a revision", Set: setTo("revision", cty.NumberFloatVal(1.5)), Attribute: "revision", Message: "a whole number"},
	}
}

func failingCompare() []contract.Bad {
	return []contract.Bad{
		{Name: "before the data", Set: setTo("revision", cty.NumberIntVal(2)), Attribute: "snapshot", Message: "it doesn't hold what"},
		{Name: "a revision to come", Set: setTo("revision", cty.NumberIntVal(1000)), Attribute: "revision", Message: "it hasn't reached revision 1000"},
	}
}
