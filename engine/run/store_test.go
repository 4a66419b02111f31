package run_test

import (
	"os"
	"path/filepath"
	"testing"

	"runbook/engine/journal"
	"runbook/engine/run"
)

// The newest run is the one that was begun last, whatever its ID and whatever came
// of its journal since.
func TestNewest(t *testing.T) {
	s := run.Store{Dir: t.TempDir()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	newest := func(want string) {
		t.Helper()
		if got, err := s.Newest(); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	newest("")
	must(s.Prepare())
	newest("")
	for _, id := range []string{"z", "a"} {
		j, err := journal.Create(filepath.Join(s.Dir, "runs", id), "run", id)
		must(err)
		must(j.Close())
	}
	must(os.Mkdir(filepath.Join(s.Dir, "runs", "zz.new"), 0o700))
	newest("a")
	path := filepath.Join(s.Dir, "runs", "a", journal.FileName)
	whole, err := os.ReadFile(path)
	must(err)
	must(os.WriteFile(path, append(whole, "no record\nand no other\n"...), 0o600))
	newest("a")
	must(os.WriteFile(path, append([]byte("x"), whole...), 0o600))
	newest("z")
}
