package run_test

import (
	"context"
	"sync/atomic"
	"testing"

	"runbook/engine"
	"runbook/engine/lang"
)

// counting counts what is read of a host.
type counting struct {
	engine.Host
	reads *atomic.Int64
}

func (c counting) Read(ctx context.Context, d engine.DataRequest) (engine.Result, error) {
	c.reads.Add(1)
	return c.Host.Read(ctx, d)
}

// Two runbooks of one plan that look at the same look once.
func TestAPlanReadsADataSourceOnce(t *testing.T) {
	const looks = `
data "file" "a" { path = "${var.dir}/a" }
`
	b := newBench(t, looks+`
step "runbook" "inner" {
  source    = "inner.hcl"
  variables = { dir = var.dir }
}
`)
	b.more = []lang.Source{{Name: "inner.hcl", Text: "runbook \"inner\" {}\nvariable \"dir\" { type = string }\n" + looks + `
data "file" "b" { path = "${var.dir}/b" }
step "move" "one" {
  from = data.file.b.exists ? "${var.dir}/a" : null
  to   = "${var.dir}/x"
}
`}}
	var reads atomic.Int64
	b.wrap = func(h engine.Host) engine.Host { return counting{h, &reads} }
	p, _, diags := b.plan("r1")
	if diags.HasErrors() || len(p.Data) != 3 || reads.Load() != 2 {
		t.Errorf("%d reads, %d results: %v", reads.Load(), len(p.Data), diags)
	}
}
