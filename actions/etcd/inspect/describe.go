package inspect

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"runbook/actions/etcd/boltfile"
)

// describe checks all of the file and describes it. Its SHA-256 is computed
// while the database is walked; progress is told how much of it is done.
func describe(path string, progress func(int64)) (Info, error) {
	f, size, err := openFile(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close() // only read from
	info := Info{Path: path, Size: size, Members: []Member{}, Alarms: []string{}, Warnings: []string{}}
	body, err := bodySize(size)
	if err != nil {
		return Info{}, err
	}
	warning, metaErr := checkMetas(f, size)
	if warning != "" {
		info.Warnings = append(info.Warnings, warning)
	}
	sums := make(chan error, 1)
	go func() {
		var err error
		info.Sum, info.Hash, err = checkSum(f, body, size, progress)
		sums <- err
	}()
	found := Info{}
	if metaErr == nil {
		metaErr = scan(f, body, &found)
	}
	// That the contents aren't what etcd wrote says more than what is wrong
	// with them.
	if err := <-sums; err != nil {
		return Info{}, err
	}
	return info.with(found), metaErr
}

// with is i with what was found in the database.
func (i Info) with(found Info) Info {
	found.Path, found.Size, found.Hash, found.Sum = i.Path, i.Size, i.Hash, i.Sum
	found.Warnings = i.Warnings
	return found
}

// bodySize is the size of the database in a file. A snapshot has its SHA-256
// behind it; a file copied from a data directory has none, and its size is a
// multiple of the sector size.
func bodySize(size int64) (int64, error) {
	const sector = 512
	switch size % sector {
	case 0:
		return size, nil
	case sha256.Size:
		return size - sha256.Size, nil
	}
	return 0, damagedf("its size of %d bytes is neither that of a snapshot nor that of a database: it is truncated, or something else", size)
}

// sumFile checks a file's SHA-256, if it has one, and nothing else.
func sumFile(path string) error {
	f, size, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close() // only read from
	body, err := bodySize(size)
	if err == nil {
		_, _, err = checkSum(f, body, size, func(int64) {})
	}
	return err
}

// checkSum computes the SHA-256 of the database and compares it with the one
// behind it, which it returns too; that is empty where there is none.
func checkSum(f io.ReaderAt, body, size int64, progress func(int64)) (sum, hash string, err error) {
	h := sha256.New()
	r := &counting{r: io.NewSectionReader(f, 0, body), progress: progress}
	if _, err := io.CopyBuffer(h, r, make([]byte, 1<<20)); err != nil {
		return "", "", damagedf("it can't be read: %v", err)
	}
	got := h.Sum(nil)
	if body == size {
		return hex.EncodeToString(got), "", nil
	}
	want := make([]byte, sha256.Size)
	if _, err := f.ReadAt(want, body); err != nil {
		return "", "", damagedf("its trailing hash can't be read: %v", err)
	}
	if !bytes.Equal(got, want) {
		return "", "", damagedf("its contents don't match its SHA-256: it says %x…, its contents make %x…", want[:4], got[:4])
	}
	return hex.EncodeToString(got), hex.EncodeToString(want), nil
}

// counting tells progress how much was read.
type counting struct {
	r        io.Reader
	done     int64
	progress func(int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	c.progress(c.done)
	return n, err
}

// scan checks the structure of the database in the first size bytes of a file
// and fills info from its buckets.
func scan(f *os.File, size int64, info *Info) error {
	count := func(boltfile.Element) error { info.TotalKeys++; return nil }
	err := structure(f, size, func(bucket string) boltfile.Visit {
		if bucket == string(schema.Key.Name()) {
			return count
		}
		return nil
	})
	if err != nil {
		return err
	}
	return view(f.Name(), func(tx *bolt.Tx) error {
		if err := readBuckets(tx, info); err != nil {
			return err
		}
		return digestKeys(tx, info)
	})
}

// readBuckets fills info from all buckets but the keys'.
func readBuckets(tx *bolt.Tx, info *Info) error {
	for _, b := range [][]byte{schema.Key.Name(), schema.Meta.Name()} {
		if tx.Bucket(b) == nil {
			return damagedf("it is a bbolt database but not etcd's: it has no bucket %q", b)
		}
	}
	info.Members, info.Alarms = []Member{}, []string{}
	readMetaBucket(tx, info)
	if err := readMembers(tx, info); err != nil {
		return err
	}
	return readAlarms(tx, info)
}

// tip tells how far a database got.
func tip(path string) (Info, error) {
	f, size, err := openFile(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close() // only read from
	info := Info{Path: path, Size: size}
	if _, err := checkMetas(f, size); err != nil {
		return Info{}, err
	}
	return info, view(path, func(tx *bolt.Tx) error {
		if err := readBuckets(tx, &info); err != nil {
			return err
		}
		if k, _ := tx.Bucket(schema.Key.Name()).Cursor().Last(); len(k) >= len(revision{}) {
			info.Revision = mvcc.BytesToRev(k).Main
		}
		return nil
	})
}
