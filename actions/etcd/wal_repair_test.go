package etcd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runbook/actions/etcd/diagnose"
	"runbook/engine"
)

// sector is the piece of a disk that is written as a whole.
const sector = 512

// largeLogAhead is a stopped member whose log is ten keys of that value ahead of its
// database.
func largeLogAhead(t *testing.T, value []byte) (data, wal string) {
	t.Helper()
	dir := t.TempDir()
	data = filepath.Join(dir, "etcd")
	snapshot := filepath.Join(dir, "b.db")
	s := start(t, data, "m1", "")
	s.put(0, 20)
	_, err := call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": snapshot})
	must(t, err)
	for i := range 10 {
		_, err := s.client.Put(t.Context(), fmt.Sprintf("/large/%d", i), string(value))
		must(t, err)
	}
	s.stop()
	db, err := os.ReadFile(snapshot)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(data, "member", "snap", "db"), db[:len(db)-32], 0o600)) // without its hash
	return data, filepath.Join(data, "member", "wal", "0000000000000000-0000000000000000.wal")
}

// holedLog is a stopped member whose log is ten large keys ahead of its
// database. In one of the first of them a sector is zeros, and those behind it
// are whole.
func holedLog(t *testing.T) (data string) {
	t.Helper()
	value := bytes.Repeat([]byte("x"), 4*sector)
	data, wal := largeLogAhead(t, value)
	log, err := os.ReadFile(wal)
	must(t, err)
	for at := 0; at < len(log); at += sector {
		if hit := log[at : at+sector]; bytes.Equal(hit, value[:sector]) {
			clear(hit)
			must(t, os.WriteFile(wal, log, 0o600))
			return data
		}
	}
	t.Fatal("no sector of the log is within a value")
	return ""
}

// A damaged record with whole ones behind it is no torn tail, though a sector of
// it is zeros: those behind it were acknowledged, and neither etcd nor a repair
// may cut them off.
func TestRepairKeepsWholeEntries(t *testing.T) {
	data := holedLog(t)
	before := tree(t, data)
	c, err := testHost.Plan(t.Context(), request(t, "etcd_wal_repair", attrs{"data_dir": data}))
	if err == nil || !strings.Contains(err.Error(), "9 whole entries are behind it") || !strings.Contains(engine.HintOf(err), "etcd_salvage") {
		t.Errorf("planned %+v, %v", c.Items, err)
	}
	if tree(t, data) != before {
		t.Error("the plan changed something")
	}
}

func TestDiagnosisOfAHoleInTheLog(t *testing.T) {
	res, err := read(t, "etcd_diagnosis", attrs{"data_dir": holedLog(t)})
	must(t, err)
	findings := fmt.Sprint(res["findings"])
	if res["recommended"] != diagnose.Salvage || !slices.Contains(res["classes"].([]string), "wal_corrupt") || !strings.Contains(findings, "9 whole entries are behind it") {
		t.Errorf("recommends %v: %s", res["recommended"], findings)
	}
}

// A log whose tail is torn again after it was repaired is repaired again in the
// same run, and both repairs are undone.
func TestRepairAgain(t *testing.T) {
	data, wal := largeLogAhead(t, []byte("value"))
	req := request(t, "etcd_wal_repair", attrs{"data_dir": data})
	var changes []engine.Change
	var torn [][]byte
	for range 3 {
		log, err := os.ReadFile(wal)
		must(t, err)
		log = bytes.TrimRight(log, "\x00")
		torn = append(torn, log[:len(log)-20])
		must(t, os.WriteFile(wal, torn[len(torn)-1], 0o600))
		c := plan(t, req)
		_, err = testHost.Apply(t.Context(), req, c, quiet{})
		must(t, err)
		if again := plan(t, req); !again.Empty() {
			t.Fatalf("once it is repaired, there is still %v", again.Items)
		}
		changes = append(changes, c)
	}
	for i, c := range slices.Backward(changes) {
		must(t, testHost.Undo(t.Context(), req, c, quiet{}))
		if got, err := os.ReadFile(wal); err != nil || !bytes.Equal(got, torn[i]) {
			t.Errorf("repair %d is undone, and its file isn't back: %v", i+1, err)
		}
	}
}
