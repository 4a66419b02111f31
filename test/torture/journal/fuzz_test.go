package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"runbook/actions/file"
	"runbook/actions/flow"
	"runbook/actions/wait"
	"runbook/engine"
	"runbook/engine/host"
	"runbook/engine/journal"
	"runbook/engine/run"
)

// FuzzLoad loads a journal, as it is or with right checksums given to each of
// its lines, KIND DATA. Whatever it holds, nothing panics, an error says where,
// and what is read is what is read when the run is taken up.
func FuzzLoad(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	reg := &engine.Registry{Actions: slices.Concat(file.Actions(), flow.Actions(), wait.Actions()), Data: file.Data()}
	h := host.NewLocal(reg)
	f.Fuzz(func(t *testing.T, text []byte, chained bool) {
		s := run.Store{Dir: t.TempDir()}
		const id = "20260101-000000-seed"
		dir := filepath.Join(s.Dir, "runs", id)
		if err := lay(dir, text, chained); err != nil {
			return // a journal itself refuses to write this
		}
		before, err := journal.All(dir)
		explained(t, err)
		sum, err := s.Look(id)
		explained(t, err)
		if (err == nil) != (sum.State != nil) {
			t.Fatalf("a state %v beside the error %v", sum.State, err)
		}
		if _, err := s.History(id, run.Wanted{Log: true}); err != nil {
			explained(t, err)
		}
		r, err := s.Resume(id, h, reg, nil, "test", func(engine.Event) {})
		if err == nil {
			err = r.Close()
		}
		if sum.State == nil && err == nil {
			t.Fatal("a run that can't be read is taken up")
		}
		after, err := journal.All(dir)
		if err == nil && !same(before, after) {
			t.Fatalf("%d records were read, and %d after the run was taken up", len(before), len(after))
		}
	})
}

func explained(t *testing.T, err error) {
	t.Helper()
	if err != nil && (!bytes.Contains([]byte(err.Error()), []byte(journal.FileName)) || engine.HintOf(err) == "") {
		t.Fatalf("the error says nothing of where or what to do: %v", err)
	}
}

// lay puts a journal into dir.
func lay(dir string, text []byte, chained bool) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if !chained {
		return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, journal.FileName), text, 0o600))
	}
	var j *journal.Journal
	for line := range bytes.Lines(text) {
		kind, data, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		var err error
		if j == nil {
			j, err = journal.Create(dir, string(kind), json.RawMessage(data))
		} else {
			_, err = j.Append(string(kind), json.RawMessage(data))
		}
		if err != nil {
			return err
		}
	}
	if j == nil {
		return errors.New("no record")
	}
	return j.Close()
}

// seeds are journals in the form of FuzzLoad's: that of a run with everything
// in it, and parts of it.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	all, err := os.ReadFile("testdata/seed.txt")
	if err != nil {
		f.Fatal(err)
	}
	head, _, _ := bytes.Cut(all, []byte("\n"))
	seeds := [][]byte{all, append(head, '\n'), nil, []byte("run {}\n"), []byte("run {\"format\":1}\nintent {}\n")}
	kinds := map[string]bool{}
	for line := range bytes.Lines(all[len(head)+1:]) {
		kind, _, _ := bytes.Cut(line, []byte(" "))
		if kinds[string(kind)] {
			continue
		}
		kinds[string(kind)] = true
		seeds = append(seeds, append(append(bytes.Clone(head), '\n'), line...))
	}
	return seeds
}
