package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/engine"
)

// alarmDisarm disarms the alarms of a running etcd.
type alarmDisarm struct {
	Endpoints []string  `cty:"endpoints"`
	TLS       *tlsFiles `cty:"tls"`
	Timeout   int64     `cty:"timeout_seconds"`
}

var _ engine.Action = (*alarmDisarm)(nil)

func alarmDisarmSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_alarm_disarm",
		Doc: "Disarms every alarm of a running etcd, those of members that are gone too. " +
			"While NOSPACE is raised, etcd takes no writes: make room first (compact, defragment, or a larger quota), or it is raised again. " +
			"CORRUPT says that members hold different data: disarming it mends nothing, so find the member that is wrong and replace it. " +
			"A restore needs no disarming: etcd_snapshot_restore clears the alarms in the data it restores.",
		Attributes: connectionAttributes(),
		Results:    []engine.Attribute{{Name: "disarmed", Type: cty.List(cty.String), Doc: "The alarms that were disarmed, each as NOSPACE of member ID."}},
		Example: `step "etcd_alarm_disarm" "writable_again" {
  endpoints = ["https://127.0.0.1:2379"]
  tls = {
    cert = "/etc/kubernetes/pki/etcd/server.crt"
    key  = "/etc/kubernetes/pki/etcd/server.key"
    ca   = "/etc/kubernetes/pki/etcd/ca.crt"
  }
}`,
		New: func() engine.Action { return &alarmDisarm{} },
	}
}

func (a *alarmDisarm) connection() connection {
	return connection{endpoints: a.Endpoints, tls: a.TLS, timeout: time.Duration(a.Timeout) * time.Second}
}

// Plan implements engine.Action. An earlier step may be what starts etcd: while
// it doesn't answer, its alarms are to be disarmed, whatever they are.
func (a *alarmDisarm) Plan(ctx context.Context, _ engine.World) (engine.Change, error) {
	c := engine.Change{Checks: []string{"no alarm is raised at " + strings.Join(a.Endpoints, ", ")}}
	alarms, err := a.raised(ctx)
	var settings *engine.Error
	if errors.As(err, &settings) && settings.Attribute == "tls" {
		return c, err
	}
	if err == nil && len(alarms) == 0 {
		c.Results = engine.Result{"disarmed": []string{}}
		return c, nil
	}
	note := warn(alarms)
	if err != nil {
		note = "etcd doesn't answer yet"
	}
	c.Items = []engine.Item{{Target: "etcd at " + strings.Join(a.Endpoints, ", "), Attribute: "alarms", Before: "as they are", After: "disarmed", Note: note}}
	c.Irreversible = "etcd raises an alarm again by itself while the reason for it is there"
	return c, nil
}

// warn lists alarms, with what disarming them doesn't do.
func warn(alarms []*etcdserverpb.AlarmMember) string {
	text := strings.Join(named(alarms), ", ")
	if slices.ContainsFunc(alarms, func(m *etcdserverpb.AlarmMember) bool { return m.GetAlarm() == etcdserverpb.AlarmType_CORRUPT }) {
		text += "; CORRUPT: the members hold different data, which disarming doesn't mend"
	}
	return text
}

func named(alarms []*etcdserverpb.AlarmMember) []string {
	names := []string{}
	for _, m := range alarms {
		names = append(names, fmt.Sprintf("%v of member %x", m.GetAlarm(), m.GetMemberID()))
	}
	return names
}

// raised asks the first endpoint that answers: alarms are the cluster's.
func (a *alarmDisarm) raised(ctx context.Context) (alarms []*etcdserverpb.AlarmMember, err error) {
	err = a.anywhere(ctx, func(ctx context.Context, cli *clientv3.Client, _ string) error {
		resp, err := cli.AlarmList(ctx)
		if err == nil {
			alarms = resp.Alarms
		}
		return err
	})
	return alarms, err
}

// anywhere calls fn with the endpoints in their order until it succeeds.
func (a *alarmDisarm) anywhere(ctx context.Context, fn func(context.Context, *clientv3.Client, string) error) error {
	var failures []error
	for _, endpoint := range a.Endpoints {
		err := a.connection().at(ctx, endpoint, fn)
		if err == nil {
			return nil
		}
		var ours *engine.Error
		if errors.As(err, &ours) {
			return err
		}
		failures = append(failures, notHealthy(endpoint, err))
	}
	return engine.Errorf("etcd", "no endpoint answers: %w", errors.Join(failures...)).
		WithHint("Start etcd first; an etcd without a leader can't disarm alarms.").WithAttribute("endpoints")
}

// Apply implements engine.Action. Disarming what isn't raised any more does
// nothing, so it begins by looking. Where the plan had no alarm, looking is all:
// nobody has been told that one would be disarmed, and no intent is recorded.
func (a *alarmDisarm) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, a.none(ctx, "it has been raised since the step was planned",
			"Nothing has been disarmed. Find out why it was raised, then start a new run, whose plan has it.")
	}
	alarms, err := a.raised(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range alarms {
		rep.Progress(engine.Progress{Doing: "disarming " + warn([]*etcdserverpb.AlarmMember{m})})
		err := a.anywhere(ctx, func(ctx context.Context, cli *clientv3.Client, _ string) error {
			_, err := cli.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: m.GetMemberID(), Alarm: m.GetAlarm()})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return engine.Result{"disarmed": named(alarms)}, a.none(ctx, "it is raised again",
		"Take its reason away first: for NOSPACE compact and defragment, or raise --quota-backend-bytes.")
}

// none fails where an alarm is raised.
func (a *alarmDisarm) none(ctx context.Context, what, hint string) error {
	alarms, err := a.raised(ctx)
	if err != nil || len(alarms) == 0 {
		return err
	}
	return engine.Errorf("etcd at "+strings.Join(a.Endpoints, ", "), "%s: %s", what, strings.Join(named(alarms), ", ")).
		WithHint("%s", hint)
}

// Undo implements engine.Action; an alarm that is needed raises itself.
func (a *alarmDisarm) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
