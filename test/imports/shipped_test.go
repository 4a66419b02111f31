package imports

import (
	"io/fs"
	"testing"

	"runbook/runbooks"
)

// compared names, for each shipped runbook, the test that compares what its plan
// said with what its run did.
var compared = map[string]string{
	"baseline.hcl":                   "TestRecovery",
	"cluster-validate.hcl":           "TestRecovery",
	"drills/data-directory-lost.hcl": "TestDrills",
	"drills/db-overwritten.hcl":      "TestDrills",
	"drills/disk-full.hcl":           "TestDrills",
	"drills/member-replaced.hcl":     "TestDrills",
	"etcd-assess.hcl":                "TestRecover",
	"etcd-backup-schedule.hcl":       "TestRunsDoWhatTheirPlansSaid",
	"etcd-backup.hcl":                "TestRunsDoWhatTheirPlansSaid",
	"etcd-recover.hcl":               "TestRecover",
	"etcd-restore-systemd.hcl":       "TestRunsDoWhatTheirPlansSaid",
	"etcd-restore.hcl":               "TestRecovery",
	"postgresql-move-data.hcl":       "TestPostgresqlMoves",
	"recover/attempt.hcl":            "TestRecover",
	"recover/mend.hcl":               "TestRecover",
}

// No runbook ships whose plan isn't held against a run of it.
func TestEveryShippedRunbookIsCompared(t *testing.T) {
	there, shipped := tests(t), map[string]bool{}
	err := fs.WalkDir(runbooks.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		shipped[path] = true
		if test := compared[path]; test == "" {
			t.Errorf("no test compares the plan of %s with a run of it: write one, and name it here", path)
		} else if !there[test] {
			t.Errorf("%s: there is no test %s", path, test)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range compared {
		if !shipped[path] {
			t.Errorf("%s is named here, but doesn't ship", path)
		}
	}
}
