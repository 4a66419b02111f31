package diagnose

import (
	"slices"
	"strings"
	"testing"
)

// What is around etcd comes before its data and decides no cure of it; what its
// log only repeats stands behind the finding that tells it.
func TestJoin(t *testing.T) {
	r := &Report{Recommended: Salvage, Advice: "Salvage it."}
	r.at("wal_cut", Damage, "/d/wal", Salvage, "The log is cut.", "")
	r.at("mount_point", Note, "/d", "", "It is a mount point.", "")
	r.mend("config_unreadable", Mistake, "", "What starts etcd can't be read.", "", Remedy{})
	r.judgeLines("log", []byte("cannot use none as id\nbind: address already in use\n"))
	no := false
	r.Join([]Finding{{Class: "manifest_missing", Severity: Damage, Needs: Mend, Finding: "It isn't there."}, {Class: "name_unresolved", Severity: Note}}, &no)
	var classes []string
	for _, f := range r.Findings {
		classes = append(classes, f.Class)
	}
	if want := []string{"manifest_missing", "wal_cut", "name_unresolved", "mount_point", "log_port_in_use"}; !slices.Equal(classes, want) {
		t.Errorf("%v", classes)
	}
	if got := r.Findings[1].Finding; got != `The log is cut. etcd said "cannot use none as id".` {
		t.Error(got)
	}
	if c := r.Causes(); len(c) != 1 || c[0].Class != "manifest_missing" {
		t.Errorf("%+v", c)
	}
	if r.Recommended != Salvage || r.needs() != Salvage || !strings.Contains(r.Advice, "(manifest_missing). Salvage it.") {
		t.Errorf("%q %q", r.needs(), r.Advice)
	}
	// A cause alone keeps nobody from starting etcd, and nothing is healthy.
	r = &Report{}
	r.Join([]Finding{{Class: "kubelet_stopped", Severity: Mistake, Needs: Mend}}, nil)
	if r.climb(); r.Recommended != Restart || r.Healthy() {
		t.Errorf("%q, healthy %v", r.Recommended, r.Healthy())
	}
	r = &Report{}
	if r.Join(nil, &no); r.Healthy() {
		t.Error("healthy, and the API isn't served")
	}
	if r.Join(nil, nil); !r.Healthy() {
		t.Error("not healthy, and nothing is wrong")
	}
	// Why etcd ended stands behind what it is about, and else nowhere.
	failed := Finding{Class: "etcd_failing", Severity: Mistake, Needs: Restart, Finding: "It ended.", Said: "open /pki/server.crt: no such file"}
	for path, want := range map[string]string{"kubelet.service": "", "/pki/server.crt": `etcd said "open /pki/server.crt: no such file".`} {
		r = &Report{}
		r.Join([]Finding{{Class: "some_cause", Path: path, Needs: Mend}, failed}, nil)
		if len(r.Findings) != 1 || strings.TrimSpace(r.Findings[0].Finding) != want {
			t.Errorf("%+v", r.Findings)
		}
	}
	r = &Report{}
	if r.Join([]Finding{failed}, nil); len(r.Findings) != 1 {
		t.Errorf("%+v", r.Findings)
	}
}
