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

// holedLog is a stopped member whose log is ten large keys ahead of its
// database. In one of the first of them a sector is zeros, and those behind it
// are whole.
func holedLog(t *testing.T) (data string) {
	t.Helper()
	dir := t.TempDir()
	data = filepath.Join(dir, "etcd")
	snapshot := filepath.Join(dir, "b.db")
	s := start(t, data, "m1", "")
	s.put(0, 20)
	_, err := call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": snapshot})
	must(t, err)
	value := bytes.Repeat([]byte("x"), 4*sector)
	for i := range 10 {
		_, err := s.client.Put(t.Context(), fmt.Sprintf("/large/%d", i), string(value))
		must(t, err)
	}
	s.stop()
	db, err := os.ReadFile(snapshot)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(data, "member", "snap", "db"), db[:len(db)-32], 0o600)) // without its hash
	wal := filepath.Join(data, "member", "wal", "0000000000000000-0000000000000000.wal")
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
