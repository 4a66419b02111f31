package etcd

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"runbook/engine"
)

func TestClientActions(t *testing.T) {
	dir := t.TempDir()
	snap := filepath.Join(dir, "b.db")
	s := start(t, filepath.Join(dir, "etcd"), "m1", "")
	s.put(0, 450) // more than two pages
	at := []string{s.endpoint}
	save := request(t, "etcd_snapshot_save", attrs{"endpoints": at, "path": snap})
	c := plan(t, save)
	saved := apply(t, save, c)
	apply(t, save, c)
	if again := plan(t, save); !again.Empty() || again.Results["hash"] != saved["hash"] {
		t.Errorf("Plan after saving: %+v", again)
	}
	if st, err := os.Stat(snap); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("got %v %v", st, err)
	}

	t.Run("verify", func(t *testing.T) {
		if _, err := call(t, "etcd_snapshot_verify", attrs{"path": snap, "min_keys": 450, "hash": saved["hash"]}); err != nil {
			t.Error(err)
		}
		for attribute, a := range map[string]attrs{
			"min_keys": {"path": snap, "min_keys": 451}, "min_revision": {"path": snap, "min_revision": 10000},
			"hash": {"path": snap, "hash": "00"}, "path": {"path": snap + "x"},
		} {
			_, err := testHost.Plan(t.Context(), request(t, "etcd_snapshot_verify", a))
			if e, ok := err.(*engine.Error); !ok || e.Attribute != attribute || e.Hint == "" {
				t.Errorf("%s: %v", attribute, err)
			}
		}
	})
	t.Run("health", func(t *testing.T) {
		res, err := call(t, "etcd_health", attrs{"endpoints": at})
		if err != nil || res["revision"] != int64(451) || res["version"] == "" {
			t.Errorf("got %v %v", res, err)
		}
		_, err = call(t, "etcd_health", attrs{"endpoints": []string{"http://127.0.0.1:1"}, "timeout_seconds": 1})
		if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("members", func(t *testing.T) {
		if _, err := call(t, "etcd_members", attrs{"endpoints": at, "expect": map[string][]string{"m1": {testPeerURL}}}); err != nil {
			t.Error(err)
		}
		for says, expect := range map[string]map[string][]string{
			"m2 is missing": {"m1": {testPeerURL}, "m2": {"http://h:1"}}, "has the peer URLs": {"m1": {"http://h:1"}}, "m1 is not expected": {},
		} {
			if _, err := call(t, "etcd_members", attrs{"endpoints": at, "expect": expect}); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", says, err)
			}
		}
	})
	t.Run("compare", func(t *testing.T) { testCompare(t, s, snap) })
	t.Run("alarm", func(t *testing.T) {
		_, err := s.etcd.Server.Alarm(t.Context(), &etcdserverpb.AlarmRequest{
			Action: etcdserverpb.AlarmRequest_ACTIVATE, MemberID: uint64(s.etcd.Server.MemberID()), Alarm: etcdserverpb.AlarmType_NOSPACE,
		})
		must(t, err)
		_, err = call(t, "etcd_health", attrs{"endpoints": at})
		if err == nil || !strings.Contains(err.Error(), "NOSPACE") || !strings.Contains(engine.HintOf(err), "disarm") {
			t.Errorf("got %v", err)
		}
		testAlarmIsCleared(t, s, dir)
	})
	undo(t, save, c)
	undo(t, save, c)
	if _, err := os.Stat(snap + ".undone-run1"); err != nil {
		t.Error(err)
	}
}

func testCompare(t *testing.T, s *server, snap string) {
	a := attrs{"endpoints": []string{s.endpoint}, "snapshot": snap}
	res, err := call(t, "etcd_compare", a)
	if err != nil || res["equal"] != true || res["same"] != int64(450) {
		t.Fatalf("got %v %v", res, err)
	}
	s.put(449, 452)
	if res, err = call(t, "etcd_compare", a); err != nil || res["equal"] != false || res["newer"] != int64(3) {
		t.Fatalf("got %v %v", res, err)
	}
	a["revision"] = 451
	if res, err = call(t, "etcd_compare", a); err != nil || res["equal"] != true {
		t.Fatalf("at the revision: %v %v", res, err)
	}
	status, err := read(t, "etcd_status", attrs{"endpoints": []string{s.endpoint}, "snapshot": snap})
	if err != nil || status["holds_snapshot"] != true || status["healthy"] != true || status["members"] != 1 || status["keys"] != int64(452) {
		t.Errorf("got %v %v", status, err)
	}
	if _, err := s.client.Delete(t.Context(), "/k/0007"); err != nil {
		t.Fatal(err)
	}
	delete(a, "revision")
	if _, err = call(t, "etcd_compare", a); err == nil || !strings.Contains(err.Error(), `missing "/k/0007"`) {
		t.Errorf("got %v", err)
	}
	status, err = read(t, "etcd_status", attrs{"endpoints": []string{s.endpoint}, "snapshot": snap})
	if err != nil || status["holds_snapshot"] != false || status["missing"] != int64(1) {
		t.Errorf("got %v %v", status, err)
	}
}

// An etcd that hasn't started up yet, or hangs, takes connections and lets them
// lie. It doesn't hold up who looks for as long as an answer may take.
func TestStatusOfWhatHangs(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer hangs.Close()
	for _, scheme := range []string{"http://", "https://"} {
		res, err := read(t, "etcd_status", attrs{"endpoints": []string{scheme + hangs.Addr().String()}, "timeout_seconds": 3600})
		must(t, err)
		if res["reachable"] != false || !strings.Contains(fmt.Sprint(res["error"]), "leaves them without an answer") {
			t.Errorf("%s: got %v", scheme, res)
		}
	}
}

// testAlarmIsCleared restores a snapshot with an alarm and expects none.
func testAlarmIsCleared(t *testing.T, s *server, dir string) {
	snap, data := filepath.Join(dir, "alarm.db"), filepath.Join(dir, "restored")
	if _, err := call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": snap}); err != nil {
		t.Fatal(err)
	}
	if info := mustInspect(t, snap); len(info.Alarms) != 1 || info.Alarms[0] != "NOSPACE" {
		t.Fatalf("the snapshot has the alarms %v", info.Alarms)
	}
	req := request(t, "etcd_snapshot_restore", attrs{
		"snapshot": snap, "data_dir": data, "name": "m1", "initial_advertise_peer_urls": []string{testPeerURL},
	})
	res := apply(t, req, plan(t, req))
	r := start(t, data, "m1", "")
	defer r.stop()
	if _, err := call(t, "etcd_health", attrs{"endpoints": []string{r.endpoint}}); err != nil {
		t.Error(err)
	}
	res, err := call(t, "etcd_compare", attrs{"endpoints": []string{r.endpoint}, "snapshot": snap, "revision": res["revision"]})
	if err != nil || res["equal"] != true {
		t.Errorf("got %v %v", res, err)
	}
}

func TestStatusDown(t *testing.T) {
	res, err := read(t, "etcd_status", attrs{"endpoints": []string{"http://127.0.0.1:1"}, "timeout_seconds": 1})
	if err != nil || res["reachable"] != false || res["healthy"] != false || res["error"] == "" {
		t.Errorf("got %v %v", res, err)
	}
}

// TestCompareEmpty is fact 2: healthy, and empty.
func TestCompareEmpty(t *testing.T) {
	f := newFixture(t)
	s := start(t, filepath.Join(t.TempDir(), "empty"), "m1", "")
	if _, err := call(t, "etcd_health", attrs{"endpoints": []string{s.endpoint}}); err != nil {
		t.Error(err)
	}
	_, err := call(t, "etcd_compare", attrs{"endpoints": []string{s.endpoint}, "snapshot": f.snapshot})
	if err == nil || !strings.Contains(err.Error(), "19 missing") {
		t.Errorf("got %v", err)
	}
}

// TestSpecs holds every description to what the language needs of it.
func TestSpecs(t *testing.T) {
	for _, s := range Actions() {
		described(t, s.Name, s.Doc, s.Example, append(s.Attributes, s.Results...))
		if !strings.HasPrefix(s.Example, `step "`+s.Name+`" `) {
			t.Errorf("%s: its example is another's", s.Name)
		}
	}
	for _, s := range Data() {
		described(t, s.Name, s.Doc, s.Example, append(s.Attributes, s.Results...))
		if !strings.HasPrefix(s.Example, `data "`+s.Name+`" `) {
			t.Errorf("%s: its example is another's", s.Name)
		}
	}
}

func described(t *testing.T, name, doc, example string, attributes []engine.Attribute) {
	t.Helper()
	if doc == "" || example == "" {
		t.Errorf("%s lacks its doc or example", name)
	}
	for _, a := range attributes {
		if !strings.HasSuffix(a.Doc, ".") {
			t.Errorf("%s: %s has no sentence", name, a.Name)
		}
	}
}
