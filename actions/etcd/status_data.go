package etcd

import (
	"context"
	"errors"
	"time"

	"github.com/zclconf/go-cty/cty"
	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/locate"
	"runbook/engine"
)

// statusData looks at a running etcd, if there is one.
type statusData struct {
	Endpoints []string  `cty:"endpoints"`
	TLS       *tlsFiles `cty:"tls"`
	Timeout   int64     `cty:"timeout_seconds"`
	Snapshot  *string   `cty:"snapshot"`
}

var _ engine.DataSource = (*statusData)(nil)

func statusDataSpec() engine.DataSpec {
	return engine.DataSpec{
		Name: "etcd_status",
		Doc: "Looks whether etcd runs, how it is, and whether it holds what a snapshot holds. " +
			"It doesn't fail where etcd is down: that is what it tells.",
		Attributes: append(foundConnection(), engine.Attribute{
			Name: "snapshot", Type: cty.String, Check: checkAbsolute, Doc: "A snapshot to compare with.",
		}),
		Results: []engine.Attribute{
			{Name: "reachable", Type: cty.Bool, Doc: "Whether any endpoint answers."},
			{Name: "healthy", Type: cty.Bool, Doc: "Whether all endpoints are healthy, as etcd_health checks it."},
			{Name: "error", Type: cty.String, Doc: "What the first endpoint that isn't healthy says; empty if all are."},
			{Name: "version", Type: cty.String, Doc: "etcd's version; empty if it isn't reachable."},
			{Name: "revision", Type: cty.Number, Doc: "The revision at which it serves; 0 if it isn't reachable."},
			{Name: "members", Type: cty.Number, Doc: "How many members the cluster has; 0 if they aren't known."},
			{Name: "keys", Type: cty.Number, Doc: "How many live keys there are; 0 if they aren't known."},
			{Name: "holds_snapshot", Type: cty.Bool, Doc: "Whether every key of the snapshot is there on every endpoint, as it was or newer. A key that was deleted since counts as missing, one whose lease ran out doesn't."},
			{Name: "missing", Type: cty.Number, Doc: "How many of the snapshot's keys are missing or differ; 0 if that isn't known."},
		},
		Example: `data "etcd_status" "here" {}

data "etcd_status" "now" {
  endpoints = ["http://127.0.0.1:2379"]
  snapshot  = "/var/backups/etcd/backup-1.db"
}`,
		New: func() engine.DataSource { return &statusData{} },
	}
}

// foundConnection are the attributes of a connection that is found where none is
// named.
func foundConnection() []engine.Attribute {
	all := connectionAttributes()
	for i := range all {
		switch all[i].Name {
		case "endpoints":
			all[i].Required = false
			all[i].Doc += " Default: those of the member that etcd_installation finds."
		case "tls":
			all[i].Doc += " Where endpoints isn't set, that member's."
		}
	}
	return all
}

// settle finds the member to ask where no endpoint is named.
func (d *statusData) settle(ctx context.Context, w engine.World) error {
	if d.Endpoints != nil {
		return nil
	}
	s, err := installed(ctx, w, `endpoints='["https://127.0.0.1:2379"]'`)
	if err != nil {
		return err
	}
	m, err := s.Member(ctx, w)
	var inconsistent *locate.Inconsistent
	if err != nil && !errors.As(err, &inconsistent) {
		return err
	}
	if d.Endpoints = m.ClientURLs; d.TLS == nil && (m.CertFile != "" || m.CAFile != "") {
		d.TLS = &tlsFiles{Cert: &m.CertFile, Key: &m.KeyFile, CA: &m.CAFile}
	}
	return nil
}

// compareWithin bounds how long a comparison may take while only looking.
const compareWithin = 30 * time.Second

// Read implements engine.DataSource.
func (d *statusData) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	if err := d.settle(ctx, w); err != nil {
		return nil, err
	}
	conn := connection{endpoints: d.Endpoints, tls: d.TLS, timeout: time.Duration(d.Timeout) * time.Second}
	res := engine.Result{
		"reachable": false, "healthy": true, "error": "", "version": "", "revision": 0,
		"members": 0, "keys": 0, "holds_snapshot": false, "missing": 0,
	}
	if _, err := conn.tlsConfig(); err != nil {
		unhealthy(res, err)
		return res, nil
	}
	for _, seen := range conn.lookAtAll(ctx) {
		seen.add(res)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.Snapshot == nil || res["healthy"] == false {
		return res, nil
	}
	return res, d.compare(ctx, w, conn, res)
}

// unhealthy notes the first reason for which etcd isn't healthy.
func unhealthy(res engine.Result, err error) {
	res["healthy"] = false
	if res["error"] == "" {
		res["error"] = err.Error()
	}
}

// compare adds whether every endpoint holds what the snapshot holds.
func (d *statusData) compare(ctx context.Context, w engine.World, conn connection, res engine.Result) error {
	info, err := inspectSource(ctx, w, *d.Snapshot)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		return unusable(*d.Snapshot, damaged.Reason)
	}
	if err != nil {
		return err
	}
	holds, missing := true, int64(0)
	conn.timeout = compareWithin
	err = conn.each(ctx, func(ctx context.Context, cli *clientv3.Client, _ string) error {
		diff, err := compareWith(ctx, cli, info, *d.Snapshot, 0)
		if err == nil {
			holds = holds && diff.holds()
			missing = max(missing, diff.missing+diff.differing)
		}
		return err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		unhealthy(res, err)
		return nil
	}
	res["holds_snapshot"], res["missing"] = holds, missing
	return nil
}
