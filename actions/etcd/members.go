package etcd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/engine"
)

// members checks a cluster's membership.
type members struct {
	Endpoints []string            `cty:"endpoints"`
	TLS       *tlsFiles           `cty:"tls"`
	Timeout   int64               `cty:"timeout_seconds"`
	Expect    map[string][]string `cty:"expect"`
}

var _ engine.Action = (*members)(nil)

var memberListType = cty.List(cty.Object(map[string]cty.Type{
	"id": cty.String, "name": cty.String, "peer_urls": cty.List(cty.String), "learner": cty.Bool,
}))

func membersSpec() engine.Spec {
	return engine.Spec{
		Name:     "etcd_members",
		Doc:      "Checks that a cluster has exactly the members that it should, with their peer URLs, all of them started and voting.",
		ReadOnly: true,
		Attributes: append(connectionAttributes(), engine.Attribute{
			Name: "expect", Type: cty.Map(cty.List(cty.String)), Required: true, Check: checkExpect,
			Doc: "The peer URLs of each member, by its name.",
		}),
		Results: []engine.Attribute{
			{Name: "members", Type: memberListType, Doc: "The members as etcd lists them."},
			{Name: "cluster_id", Type: cty.String, Doc: "The cluster's ID, in hexadecimal."},
		},
		Example: `step "etcd_members" "as_expected" {
  endpoints = ["http://127.0.0.1:2379"]
  expect = {
    cp1 = ["https://10.0.0.1:2380"]
  }
}`,
		New: func() engine.Action { return &members{} },
	}
}

func checkExpect(v cty.Value) error {
	if v.LengthInt() == 0 {
		return fmt.Errorf("at least one member is needed")
	}
	return nil
}

// Plan implements engine.Action.
func (a *members) Plan(context.Context, engine.World) (engine.Change, error) {
	names := slices.Sorted(maps.Keys(a.Expect))
	return engine.Change{Checks: []string{"the members are exactly " + strings.Join(names, ", ")}}, nil
}

// Apply implements engine.Action. Any one endpoint's answer will do: it is
// linearizable.
func (a *members) Apply(ctx context.Context, _ engine.Change, _ engine.Reporter) (engine.Result, error) {
	conn := connection{endpoints: a.Endpoints, tls: a.TLS, timeout: time.Duration(a.Timeout) * time.Second}
	cli, err := conn.dial(a.Endpoints...)
	if err != nil {
		return nil, err
	}
	defer cli.Close() // its error is the context's
	ctx, cancel := context.WithTimeout(ctx, conn.timeout)
	defer cancel()
	resp, err := cli.MemberList(ctx)
	if err != nil {
		return nil, notHealthy(strings.Join(a.Endpoints, ","), err)
	}
	if problems := a.compare(resp.Members); len(problems) > 0 {
		return nil, engine.Errorf(strings.Join(a.Endpoints, ","), "the members are not as expected: %s", strings.Join(problems, "; ")).
			WithHint("Remove, add or update members with etcdctl member, or correct expect.").WithAttribute("expect")
	}
	return membersResult(resp), nil
}

// Undo implements engine.Action; there is nothing to undo.
func (a *members) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }

// compare names every difference between the members and what is expected.
func (a *members) compare(got []*etcdserverpb.Member) []string {
	var problems []string
	missing := maps.Clone(a.Expect)
	for _, m := range got {
		want, ok := missing[m.GetName()]
		delete(missing, m.GetName())
		switch {
		case m.GetName() == "":
			problems = append(problems, fmt.Sprintf("a member with the peer URLs %q hasn't started yet", m.GetPeerURLs()))
		case !ok:
			problems = append(problems, fmt.Sprintf("%s is not expected", m.GetName()))
		case !sameURLs(want, m.GetPeerURLs()):
			problems = append(problems, fmt.Sprintf("%s has the peer URLs %q and not %q", m.GetName(), m.GetPeerURLs(), want))
		case m.GetIsLearner():
			problems = append(problems, m.GetName()+" is a learner and doesn't vote")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		problems = append(problems, name+" is missing")
	}
	return problems
}

func membersResult(resp *clientv3.MemberListResponse) engine.Result {
	list := make([]map[string]any, 0, len(resp.Members))
	for _, m := range resp.Members {
		list = append(list, map[string]any{
			"id": fmt.Sprintf("%x", m.GetID()), "name": m.GetName(), "peer_urls": m.GetPeerURLs(), "learner": m.GetIsLearner(),
		})
	}
	return engine.Result{"members": list, "cluster_id": fmt.Sprintf("%x", resp.Header.ClusterId)}
}
