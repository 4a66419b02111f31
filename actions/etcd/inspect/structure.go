package inspect

import (
	"errors"
	"fmt"
	"os"

	"runbook/actions/etcd/boltfile"
)

// structure checks all pages of the database in the first size bytes of a
// file, in one walk, and hands each element of a bucket to the visitor that the
// bucket has, if it has one. It finds what bbolt's own check finds, which walks
// three times, and once more to list the free pages.
func structure(f *os.File, size int64, visitor func(bucket string) boltfile.Visit) error {
	mapped, err := boltfile.Map(f, size)
	if err != nil {
		return err
	}
	metas := boltfile.ReadMetas(mapped)
	meta, ok := metas.Used()
	if !ok {
		return errors.Join(noDatabase(metas), mapped.Close())
	}
	t := boltfile.NewTree(mapped, size, meta)
	for name, head := range t.Buckets() {
		visit := visitor(name)
		t.Bucket(name, head, func(e boltfile.Element) error {
			if e.Bucket {
				return errors.New("it is a bucket, where etcd has none")
			}
			if visit == nil {
				return nil
			}
			return visit(e)
		})
	}
	t.Freelist()
	return errors.Join(inconsistent(t), mapped.Close())
}

func noDatabase(m boltfile.Metas) error {
	return damagedf("it is not a bbolt database: the first meta page %v", m.FirstErr)
}

func inconsistent(t *boltfile.Tree) error {
	if t.Damaged == 0 {
		return nil
	}
	first := t.Damage[0]
	where := "the list of buckets"
	if first.Bucket != "" {
		where = fmt.Sprintf("bucket %q", first.Bucket)
	}
	return damagedf("its database is inconsistent (%d findings): %s, page %d: %s", t.Damaged, where, first.Page, first.Reason)
}
