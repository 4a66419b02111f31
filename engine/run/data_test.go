package run_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// meeting is where data sources wait for each other.
type meeting struct {
	mu      sync.Mutex
	waiting int
	all     chan struct{} // closed once as many wait as are expected
	expects int
}

func (m *meeting) come(ctx context.Context) error {
	m.mu.Lock()
	if m.waiting++; m.waiting == m.expects {
		close(m.all)
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	select {
	case <-m.all:
		return nil
	case <-ctx.Done():
		return engine.Errorf("meeting", "nobody else has come")
	}
}

// guest is a data source that waits for the others where meets is set, and fails
// where says is empty.
type guest struct {
	Says    string `cty:"says"`
	Meets   bool   `cty:"meets"`
	meeting *meeting
}

func (g *guest) Read(ctx context.Context, _ engine.World) (engine.Result, error) {
	if g.Meets {
		if err := g.meeting.come(ctx); err != nil {
			return nil, err
		}
	}
	if g.Says == "" {
		return nil, engine.Errorf("guest", "it says nothing")
	}
	return engine.Result{"said": g.Says}, nil
}

func guests(m *meeting) []engine.DataSpec {
	return []engine.DataSpec{{
		Name: "guest",
		Attributes: []engine.Attribute{
			{Name: "says", Type: cty.String, Required: true},
			{Name: "meets", Type: cty.Bool, Default: cty.True},
		},
		Results: []engine.Attribute{{Name: "said", Type: cty.String}},
		New:     func() engine.DataSource { return &guest{meeting: m} },
	}}
}

// Data sources that don't need each other are read side by side; what was read,
// and what failed, stands in the order in which they'd be read alone.
func TestDataSideBySide(t *testing.T) {
	b := newBench(t, `
data "guest" "last" {
  says  = "${data.guest.a.said}${data.guest.b.said}"
  meets = false
}
data "guest" "b" { says = "b" }
data "guest" "a" { says = "a" }
data "guest" "c" { says = "c" }
`)
	b.reg.Data = append(b.reg.Data, guests(&meeting{all: make(chan struct{}), expects: 3})...)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var got []string
	for _, d := range p.Data {
		got = append(got, d.Name+"="+d.Result["said"].(string))
	}
	if text := strings.Join(got, " "); text != "a=a b=b last=ab c=c" {
		t.Errorf("got %s", text)
	}
}

func TestDataThatFails(t *testing.T) {
	b := newBench(t, `
data "guest" "needs_both" { says = "${data.guest.well.said}${data.guest.ill.said}" }
data "guest" "ill" { says = "" }
data "guest" "well" { says = "well" }
data "guest" "ill_too" { says = "" }
`)
	b.reg.Data = append(b.reg.Data, guests(&meeting{all: make(chan struct{}), expects: 3})...)
	_, _, diags := b.plan("r1")
	var got []string
	for _, d := range diags {
		got = append(got, d.Summary)
	}
	if text := strings.Join(got, ", "); text != "Can't read data.guest.ill, Can't read data.guest.ill_too" {
		t.Errorf("got %s", text)
	}
}
