package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"

	"runbook/engine"
)

// health checks that every endpoint serves.
type health struct {
	Endpoints []string  `cty:"endpoints"`
	TLS       *tlsFiles `cty:"tls"`
	Timeout   int64     `cty:"timeout_seconds"`
}

var _ engine.Action = (*health)(nil)

func healthSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_health",
		Doc: "Checks that every endpoint of etcd answers a read that needs the cluster's consent, and that no alarm is raised. " +
			"It asks once: give the step a retry block to wait for it. Healthy doesn't mean that the data is there: see etcd_compare.",
		ReadOnly:   true,
		Attributes: connectionAttributes(),
		Results: []engine.Attribute{
			{Name: "revision", Type: cty.Number, Doc: "The revision at which it serves."},
			{Name: "cluster_id", Type: cty.String, Doc: "The cluster's ID, in hexadecimal."},
			{Name: "leader", Type: cty.String, Doc: "The leader's member ID, in hexadecimal."},
			{Name: "version", Type: cty.String, Doc: "The version of etcd at the last endpoint."},
		},
		Example: `step "etcd_health" "healthy" {
  endpoints = ["https://127.0.0.1:2379"]
  tls = {
    cert = "/etc/kubernetes/pki/etcd/server.crt"
    key  = "/etc/kubernetes/pki/etcd/server.key"
    ca   = "/etc/kubernetes/pki/etcd/ca.crt"
  }
  retry {
    attempts = 60
    delay    = "1s"
  }
}`,
		New: func() engine.Action { return &health{} },
	}
}

func (a *health) connection() connection {
	return connection{endpoints: a.Endpoints, tls: a.TLS, timeout: time.Duration(a.Timeout) * time.Second}
}

// Plan implements engine.Action. An earlier step may be what starts etcd, so
// it isn't asked yet.
func (a *health) Plan(context.Context, engine.World) (engine.Change, error) {
	var c engine.Change
	for _, e := range a.Endpoints {
		c.Checks = append(c.Checks, e+" is healthy")
	}
	return c, nil
}

// Apply implements engine.Action.
func (a *health) Apply(ctx context.Context, _ engine.Change, _ engine.Reporter) (engine.Result, error) {
	var h healthy
	err := a.connection().each(ctx, func(ctx context.Context, cli *clientv3.Client, endpoint string) (err error) {
		h, err = askHealth(ctx, cli, endpoint)
		return err
	})
	if err != nil {
		return nil, err
	}
	return engine.Result{
		"revision": h.revision, "version": h.version,
		"cluster_id": fmt.Sprintf("%x", h.cluster), "leader": fmt.Sprintf("%x", h.leader),
	}, nil
}

// Undo implements engine.Action; there is nothing to undo.
func (a *health) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }

// healthy is what a healthy endpoint says of itself.
type healthy struct {
	revision        int64
	cluster, leader uint64
	version         string
}

// askHealth asks one endpoint, as etcdctl endpoint health does, and for
// alarms.
func askHealth(ctx context.Context, cli *clientv3.Client, endpoint string) (healthy, error) {
	read, err := cli.Get(ctx, "health")
	if err != nil {
		return healthy{}, notHealthy(endpoint, err)
	}
	state, err := cli.Status(ctx, endpoint)
	if err != nil {
		return healthy{}, notHealthy(endpoint, err)
	}
	alarms, err := cli.AlarmList(ctx)
	if err != nil {
		return healthy{}, notHealthy(endpoint, err)
	}
	for _, alarm := range alarms.Alarms {
		return healthy{}, raised(endpoint, alarm)
	}
	return healthy{
		revision: read.Header.Revision, cluster: read.Header.ClusterId, leader: state.Leader, version: state.Version,
	}, nil
}

// notHealthy says why an endpoint isn't healthy, in gRPC's message without its
// wrapping.
func notHealthy(endpoint string, err error) error {
	hint := "See the log of etcd at this endpoint; if it is still starting, give the step a retry block."
	if errors.Is(err, context.DeadlineExceeded) {
		hint = "It doesn't answer in time: it may have no quorum, or be starting still. See its log, and whether enough members run."
	}
	return engine.Errorf(endpoint, "etcd is not healthy: %s", plain(status.Convert(err).Message())).
		WithHint("%s", hint).WithAttribute("endpoints")
}

// plain is what the network said, without what gRPC wraps around it.
func plain(message string) string {
	if _, cause, ok := strings.Cut(message, `"transport: `); ok {
		cause = strings.TrimSuffix(cause, `"`)
		return strings.TrimPrefix(cause, "Error while dialing: ")
	}
	return message
}

func raised(endpoint string, alarm *etcdserverpb.AlarmMember) error {
	hint := "Find out what raised it, then disarm it with \"etcdctl alarm disarm\"."
	switch alarm.GetAlarm() {
	case etcdserverpb.AlarmType_NOSPACE:
		hint = "etcd takes no writes: compact and defragment it or raise its quota, then \"etcdctl alarm disarm\". After a restore the alarm may be the old cluster's: disarm it."
	case etcdserverpb.AlarmType_CORRUPT:
		hint = "A member's data differs from the others': find it with \"etcdctl endpoint hashkv --cluster\" and rebuild it."
	}
	return engine.Errorf(endpoint, "etcd has raised the alarm %s (member %x)", alarm.GetAlarm(), alarm.GetMemberID()).WithHint("%s", hint)
}
