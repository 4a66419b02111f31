package etcd

import (
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"runbook/engine"
)

// Where the plan has said that there is nothing to disarm, an alarm that is raised
// since stays, and the step says so.
func TestAlarmThatThePlanDoesNotHave(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "etcd"), "m1", "")
	req := request(t, "etcd_alarm_disarm", attrs{"endpoints": []string{s.endpoint}})
	planned, err := testHost.Plan(t.Context(), req)
	if err != nil || !planned.Empty() {
		t.Fatalf("the plan is %+v: %v", planned, err)
	}
	if _, err := testHost.Apply(t.Context(), req, planned, quiet{}); err != nil {
		t.Errorf("without an alarm: %v", err)
	}
	raise := &etcdserverpb.AlarmRequest{Action: etcdserverpb.AlarmRequest_ACTIVATE, MemberID: 4711, Alarm: etcdserverpb.AlarmType_CORRUPT}
	if _, err := etcdserverpb.NewMaintenanceClient(s.client.ActiveConnection()).Alarm(t.Context(), raise); err != nil {
		t.Fatal(err)
	}
	_, err = testHost.Apply(t.Context(), req, planned, quiet{})
	if err == nil || !strings.Contains(err.Error(), "CORRUPT of member 1267") || engine.HintOf(err) == "" {
		t.Errorf("the step says %v (hint %q)", err, engine.HintOf(err))
	}
	raised, err := s.client.AlarmList(t.Context())
	if err != nil || len(raised.Alarms) != 1 {
		t.Errorf("these are raised: %v, %v", raised, err)
	}
}
