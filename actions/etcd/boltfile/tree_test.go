package boltfile

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"runbook/test/torture/tally"
)

// checkEnv names a database that this process is to check as bbolt does.
const checkEnv = "RUNBOOK_TEST_BOLT_CHECK"

func TestMain(m *testing.M) {
	if path := os.Getenv(checkEnv); path != "" {
		if err := boltCheck(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func boltCheck(path string) error {
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// What bbolt's own check objects to, or ends on, is damage here too.
func TestFindsWhatBoltFinds(t *testing.T) {
	for name, sync := range map[string]bool{"free pages listed": true, "free pages not listed": false} {
		t.Run(name, func(t *testing.T) {
			path := database(t, sync)
			whole, err := os.ReadFile(path)
			must(t, err)
			if damaged := check(t, path); damaged != nil {
				t.Fatalf("a sound database: %v", damaged)
			}
			chance, found := tally.Chance(t), 0
			for range cases() {
				data, what := scribble(chance, whole)
				must(t, os.WriteFile(path, data, 0o600))
				ours := check(t, path)
				if theirs := boltSays(t, path); theirs != "" && ours == nil {
					t.Errorf("%s: bbolt finds %s, and here it looks sound", what, theirs)
				}
				if ours != nil {
					found++
				}
			}
			tally.Count(t, "scribbled databases, no less found than by bbolt's check", found)
			if found == 0 {
				t.Error("nothing was found, so nothing was tried")
			}
		})
	}
}

// boltSays has a process of its own check a database, and returns what it
// says, if it isn't content. In some loops of pages it goes round for ever: that
// is no verdict.
func boltSays(t *testing.T, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), checkEnv+"="+path, "GOTRACEBACK=none")
	out, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() != nil {
		return ""
	}
	return fmt.Sprintf("%v: %s", err, out)
}

func cases() int {
	if tally.Full() {
		return 3000
	}
	return 150
}

// database has a branch above its leaves, pages that overflow, a bucket inside
// of its parent's page, and free pages.
func database(t *testing.T, syncFreelist bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: !syncFreelist, PageSize: 4096})
	must(t, err)
	for round := range 3 {
		must(t, db.Update(func(tx *bolt.Tx) error {
			small, err := tx.CreateBucketIfNotExists([]byte("meta"))
			if err == nil {
				err = small.Put([]byte("term"), []byte{byte(round)})
			}
			if err != nil {
				return err
			}
			keys, err := tx.CreateBucketIfNotExists([]byte("key"))
			for i := 0; i < 300 && err == nil; i++ {
				size := 100
				if i%50 == 0 {
					size = 9000
				}
				err = keys.Put(fmt.Appendf(nil, "%05d", i*(3-round)), make([]byte, size))
			}
			return err
		}))
	}
	must(t, db.Close())
	return path
}

// scribble changes a few bytes of a page's header or of its elements, which
// are what a structure consists of.
func scribble(chance *rand.Rand, whole []byte) (data []byte, what string) {
	data = append(data, whole...)
	page := 2 + chance.IntN(len(data)/4096-2)
	at := page*4096 + chance.IntN(200)
	n := 1 + chance.IntN(4)
	for i := range n {
		data[at+i] = byte(chance.Uint32())
	}
	return data, fmt.Sprintf("page %d, bytes %d to %d are % x", page, at, at+n-1, data[at:at+n])
}

// check returns the first damage.
func check(t *testing.T, path string) error {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	m, err := Map(f, info.Size())
	must(t, err)
	defer m.Close()
	meta, ok := ReadMetas(m).Used()
	if !ok {
		return errors.New("no meta page")
	}
	tree := NewTree(m, info.Size(), meta)
	for name, head := range tree.Buckets() {
		tree.Bucket(name, head, func(e Element) error {
			if e.Bucket {
				return errors.New("a bucket")
			}
			return nil
		})
	}
	tree.Freelist()
	if tree.Damaged == 0 {
		return nil
	}
	return errors.New(tree.Damage[0].Reason)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
