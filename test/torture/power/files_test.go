package power

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scene makes the files that the runbook works on.
func filesScene(t testing.TB, b *bench) {
	t.Helper()
	work := b.root + workDir
	files := map[string]string{
		"data/member/db": strings.Repeat("a database\n", 900), "data/member/wal/0.wal": "log\n", "data/empty": "",
		"standby/db": "another database\n", "etc/settings": "setting 1 = 2\n", "keys/ca.key": "secret\n", "keys/sub/ca.crt": "not\n",
		"stale/data": "stale\n", "backup/keep": "kept\n",
	}
	for name, content := range files {
		path := filepath.Join(work, name)
		must(t, "scene", os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, "scene", os.WriteFile(path, []byte(content), 0o640))
	}
	must(t, "scene", os.Mkdir(b.root+stateDir, 0o700))
	must(t, "scene", os.Link(work+"/data/member/db", work+"/data/db"))
	must(t, "scene", os.Symlink("member/db", work+"/data/link"))
	must(t, "scene", os.Chown(work+"/data/empty", 1000, 1000))
	must(t, "scene", os.Chown(work+"/standby/db", 1000, 1000))
	age(t, work)
}

// age gives everything below dir a time before the test.
func age(t testing.TB, dir string) {
	t.Helper()
	old := time.Unix(1767225600, 123456789)
	must(t, "age", filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.Type()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(path, old, old)
	}))
}

// What a power cut leaves of a run of the file actions, or of its rollback, is
// gone on with, and ends as if nothing had happened. So it does where the
// process was killed before, which leaves behind what no disk has yet.
func TestFiles(t *testing.T) {
	tr := runOfFiles(t)
	tr.all(t, "the file actions", counts{run: 30, rollback: 12, again: 6, killed: 8, rollbackKilled: 5})
}

func runOfFiles(t *testing.T) *trial {
	t.Helper()
	private(t)
	b := newBench(t, "files.hcl")
	mount(t, b.root)
	b.began = time.Now()
	filesScene(t, b)
	args := append([]string{"run", b.runbook, "--yes"}, b.args...)
	return b.recorded(t, readDisk(t, b.root, b.began), nextInode(t, b.root), args...)
}
