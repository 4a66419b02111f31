package actions_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"runbook/actions/etcd/inspect"
	"runbook/test/contract"
)

func salvageCases() []contract.Case {
	return []contract.Case{
		{Name: "a log ahead of the database", Action: "etcd_salvage", Setup: salvageAhead, Bad: badSalvage(), Fails: failingRestore()},
		{Name: "no log, and a place of its own for it", Action: "etcd_salvage", Setup: salvageWithoutLog},
		{Name: "a torn tail", Action: "etcd_wal_repair", Setup: repairScene, Bad: badRepair(), Fails: failingRestore()},
		{Name: "a whole log", Action: "etcd_wal_repair", Looks: true, Setup: repairNothing},
	}
}

// broken is what a member leaves behind whose log is ahead of its database:
// the database as it was when it had 19 keys, and a log with ten more.
type broken struct {
	db  []byte
	wal map[string][]byte
}

func brokenMember(t *testing.T) broken {
	t.Helper()
	b, err := breakOnce()
	must(t, err)
	return b
}

var breakOnce = sync.OnceValues(func() (b broken, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := embed.StartEtcd(embedded(dir))
	if err != nil {
		return b, err
	}
	defer server.Close()
	select {
	case <-server.Server.ReadyNotify():
	case <-ctx.Done():
		return b, ctx.Err()
	}
	endpoint := "http://" + server.Clients[0].Addr().String()
	snapshot, err := filled(ctx, endpoint)
	if err != nil {
		return b, err
	}
	b.db = snapshot[:len(snapshot)-32] // its hash
	if err := tenMore(ctx, endpoint); err != nil {
		return b, err
	}
	b.wal, err = logOf(filepath.Join(dir, "data", "member", "wal"))
	return b, err
})

func tenMore(ctx context.Context, endpoint string) error {
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Context: ctx})
	if err != nil {
		return err
	}
	for i := range 10 {
		if _, err := cli.Put(ctx, fmt.Sprintf("/registry/new/%02d", i), strings.Repeat("new", 200)); err != nil {
			return errors.Join(err, cli.Close())
		}
	}
	return cli.Close()
}

// logOf reads a log, without the zeros behind what is in it.
func logOf(dir string) (map[string][]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		return nil, err
	}
	log := map[string][]byte{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		log[filepath.Base(path)] = []byte(strings.TrimRight(string(data), "\x00"))
	}
	return log, nil
}

// left puts what a broken member left behind in its place. change may change
// the newest file of its log.
func left(t *testing.T, change func([]byte) []byte) {
	t.Helper()
	must(t, os.RemoveAll(scenes))
	b := brokenMember(t)
	contract.Write(t, filepath.Join(dataAt, "member", "snap", "db"), string(b.db))
	for name, data := range b.wal {
		if change != nil {
			data = change(data)
		}
		contract.Write(t, filepath.Join(dataAt, "member", "wal", name), string(data)+strings.Repeat("\x00", 8<<10))
	}
	contract.Write(t, filepath.Join(scenes, "neighbour", "file"), "not to be touched")
	must(t, filepath.WalkDir(dataAt, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 1, 4000))
	}))
	must(t, os.Chmod(dataAt, 0o750))
}

func salvageAhead(t *testing.T) contract.Scene {
	left(t, nil)
	return contract.Scene{
		Config:  config{"member": memberConfig(nil)},
		Observe: observeSalvage,
		Applied: func(t *testing.T) { salvagedKeys(t, 28) },
	}
}

// salvageWithoutLog gives every setting itself.
func salvageWithoutLog(t *testing.T) contract.Scene {
	left(t, nil)
	must(t, os.RemoveAll(filepath.Join(dataAt, "member", "wal")))
	return contract.Scene{
		Config: config{
			"data_dir": cty.StringVal(dataAt), "wal_dir": cty.StringVal(walAt), "name": cty.StringVal("cp1"), "initial_advertise_peer_urls": texts(peerURL),
			"initial_cluster_token": cty.StringVal("new-1"), "owner": cty.StringVal("1"), "group": cty.StringVal("4000"),
		},
		Observe: observeSalvage,
		Applied: func(t *testing.T) { salvagedKeys(t, 18) },
	}
}

// observeSalvage leaves out how large the new database is: a replay writes it
// in several transactions, and bbolt chooses among free pages as chance has it.
func observeSalvage(t *testing.T) string {
	t.Helper()
	return databaseSize.ReplaceAllString(observeRestore(t), "$1 N ")
}

var databaseSize = regexp.MustCompile(`("/etcd/member/snap/db" \S+ \S+) \d+ `)

func salvagedKeys(t *testing.T, want int64) {
	t.Helper()
	keysAt(t, want)
	exists(t, dataAt+".before-20260102-030405-abcd-salvaged/member/snap/db")
}

// keysAt counts the keys in the data directory, which has to be its owner's.
func keysAt(t *testing.T, want int64) {
	t.Helper()
	info, err := inspect.File(t.Context(), filepath.Join(dataAt, "member", "snap", "db"))
	must(t, err)
	if info.Keys != want {
		t.Errorf("%d keys were salvaged, want %d", info.Keys, want)
	}
	owned(t, dataAt, 1, 4000)
}

func badSalvage() []contract.Bad {
	db := filepath.Join(dataAt, "member", "snap", "db")
	return []contract.Bad{
		{Name: "relative directory", Set: set("data_dir", "etcd"), Attribute: "data_dir", Message: "not an absolute path"},
		{Name: "relative log", Set: set("wal_dir", "wal"), Attribute: "wal_dir", Message: "not an absolute path"},
		{Name: "no database", Attribute: "data_dir", Message: "is gone", Set: func(t *testing.T, _ config) { must(t, os.Remove(db)) }},
		{Name: "empty database", Attribute: "data_dir", Message: "it is empty", Set: func(t *testing.T, _ config) { shorten(t, db, 0) }},
		{Name: "truncated database", Attribute: "data_dir", Message: "truncated", Set: func(t *testing.T, _ config) { shorten(t, db, 20480) }},
		{Name: "no database at all", Attribute: "data_dir", Message: "can't be salvaged", Set: func(t *testing.T, _ config) {
			contract.Write(t, db, strings.Repeat("not a database", 1000))
		}},
		{Name: "another name", Set: set("name", "cp2"), Attribute: "name", Message: `which is started with "cp1"`},
		{Name: "another peer URL", Set: setTo("initial_advertise_peer_urls", texts("http://127.0.0.12:2380")),
			Attribute: "initial_advertise_peer_urls", Message: "would not fit this member"},
		{Name: "the old token", Set: set("initial_cluster_token", "etcd-cluster-1"), Attribute: "initial_cluster_token", Message: "is the old cluster's"},
		{Name: "member without a directory", Set: setTo("member", cty.ObjectVal(config{"name": cty.StringVal("cp1")})),
			Attribute: "member", Message: `"data_dir" is required`},
		{Name: "unknown owner", Set: set("owner", "nobody-knows"), Attribute: "owner", Message: "no such user"},
		{Name: "unknown group", Set: set("group", "nobody-knows"), Attribute: "group", Message: "no such group"},
		{Name: "too new for etcd", Set: set("etcd_version", "3.6.1"), Attribute: "snapshot", Message: "too new for the etcd that will run it"},
	}
}

// repairScene has a log whose last record ends in zeros.
func repairScene(t *testing.T) contract.Scene {
	left(t, func(data []byte) []byte { return data[:len(data)-20] })
	return contract.Scene{Config: config{"member": memberConfig(nil)}, Observe: observeRestore, Applied: func(t *testing.T) {
		exists(t, filepath.Join(dataAt, "member", "wal", "0000000000000000-0000000000000000.wal.before-20260102-030405-abcd"))
	}}
}

func repairNothing(t *testing.T) contract.Scene {
	left(t, nil)
	return contract.Scene{Config: config{"data_dir": cty.StringVal(dataAt)}, Observe: observeRestore}
}

func badRepair() []contract.Bad {
	wal := filepath.Join(dataAt, "member", "wal")
	newest := filepath.Join(wal, "0000000000000000-0000000000000000.wal")
	return []contract.Bad{
		{Name: "relative directory", Set: set("data_dir", "etcd"), Attribute: "data_dir", Message: "not an absolute path"},
		{Name: "relative log", Set: set("wal_dir", "wal"), Attribute: "wal_dir", Message: "not an absolute path"},
		{Name: "no directory", Attribute: "data_dir", Message: "is not known", Set: func(_ *testing.T, c config) { delete(c, "member") }},
		{Name: "no log", Attribute: "data_dir", Message: "there is no log", Set: func(t *testing.T, _ config) { must(t, os.RemoveAll(wal)) }},
		{Name: "an empty log", Attribute: "data_dir", Message: "there is nothing in it", Set: func(t *testing.T, _ config) { shorten(t, newest, 0) }},
		{Name: "cut before the database", Attribute: "data_dir", Message: "and the database has entry", Set: func(t *testing.T, _ config) { shorten(t, newest, 1000) }},
		{Name: "damage in the middle", Attribute: "data_dir", Message: "it isn't its tail", Set: func(t *testing.T, _ config) {
			data, err := os.ReadFile(newest)
			must(t, err)
			copy(data[1500:], "xxxx")
			contract.Write(t, newest, string(data))
		}},
		{Name: "no database", Attribute: "data_dir", Message: "the database is gone", Set: func(t *testing.T, _ config) {
			must(t, os.Remove(filepath.Join(dataAt, "member", "snap", "db")))
		}},
		{Name: "damaged database", Attribute: "data_dir", Message: "isn't whole", Set: func(t *testing.T, _ config) {
			shorten(t, filepath.Join(dataAt, "member", "snap", "db"), 20480)
		}},
	}
}

// shorten cuts a file of the scene off.
func shorten(t *testing.T, path string, size int) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	contract.Write(t, path, string(data[:size]))
}
