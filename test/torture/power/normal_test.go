package power

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
	"go.etcd.io/bbolt"
)

// normal is what is in the work directory, whatever the run's ID, and however
// what is compressed or a database is written down.
func normal(t testing.TB, d disk, id string) string {
	t.Helper()
	var b strings.Builder
	d.walk(func(path string, _ uint64, n *inode) {
		if !strings.HasPrefix(path, workDir) {
			return
		}
		look := n.look()
		if n.kind == 'f' && n.size < 8<<20 {
			text := bytes.ReplaceAll(content(t, path, n), []byte(id), []byte("RUN"))
			look = fmt.Sprintf("f %04o %d:%d of %d %x", n.mode, n.uid, n.gid, n.mtime, sha256.Sum256(text))
		}
		fmt.Fprintf(&b, "%s %s\n", strings.ReplaceAll(path, id, "RUN"), look)
	})
	return b.String()
}

// difference is between how a disk has to be and how it is.
func difference(want, got string) string {
	return string(diff.Diff("as it has to be", []byte(want), "as it is", []byte(got)))
}

func content(t testing.TB, path string, n *inode) []byte {
	data := n.read(0, n.size)
	switch {
	case strings.HasSuffix(path, ".gz"):
		if zip, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			if text, err := io.ReadAll(zip); err == nil {
				return text
			}
		}
	case filepath.Base(path) == "db" && bytes.Contains(data[:min(32, len(data))], []byte{0xed, 0xda, 0x0c, 0xed}):
		return records(t, data)
	}
	return data
}

// records are those of a bbolt database, which gives out its free pages in any
// order.
func records(t testing.TB, data []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	must(t, "database", os.WriteFile(path, data, 0o600))
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	must(t, "database", err)
	defer db.Close() // only read from
	var b bytes.Buffer
	must(t, "database", db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
			return bucket.ForEach(func(k, v []byte) error {
				_, err := fmt.Fprintf(&b, "%q %q %q\n", name, k, v)
				return err
			})
		})
	}))
	return b.Bytes()
}
