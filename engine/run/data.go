package run

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
)

// readers is how many data sources are read at a time: most of them wait for
// somebody's answer, and a few take the memory of a machine in trouble.
const readers = 4

// reading is one data source that is to be read.
type reading struct {
	*lang.Data
	req         engine.DataRequest
	begun, over bool
	read        bool
	result      engine.Result
	err         error
	diags       hcl.Diagnostics
}

func (r *reading) name() string { return r.Type + "." + r.Name }

// end is how it came out before anybody asked the host.
func (r *reading) end(diags hcl.Diagnostics) { r.begun, r.over, r.diags = true, true, diags }

// dataReader reads the data sources of one runbook. All but the reading itself
// is done by the goroutine that calls read.
type dataReader struct {
	ctx     context.Context
	host    engine.Host
	scope   *lang.Scope
	secrets *secrets
	all     []*reading // in the order in which each finds what it needs
	running int
	ended   chan *reading
}

// readData reads every data source of a runbook, those that others need first,
// and side by side those that don't need each other. What comes of it is in the
// order in which one alone would be read after the other.
func readData(ctx context.Context, host engine.Host, scope *lang.Scope, step string, secrets *secrets) ([]DataResult, hcl.Diagnostics) {
	r := &dataReader{ctx: ctx, host: host, scope: scope, secrets: secrets}
	for _, d := range scope.Book.DataInOrder() {
		r.all = append(r.all, &reading{Data: d})
	}
	r.ended = make(chan *reading, len(r.all))
	r.read()
	var results []DataResult
	var diags hcl.Diagnostics
	for _, one := range r.all {
		diags = append(diags, one.diags...)
		if one.read {
			results = append(results, DataResult{Step: step, Type: one.Type, Name: one.Name, Result: one.result})
		}
	}
	return results, diags
}

func (r *dataReader) read() {
	for {
		for _, one := range r.all {
			if !one.begun && r.running < readers {
				r.begin(one)
			}
		}
		if r.running == 0 {
			return
		}
		r.take(<-r.ended)
	}
}

// begin begins to read a data source, if what it needs is there by now.
func (r *dataReader) begin(one *reading) {
	for _, need := range r.scope.Book.DataNeededBy(one.Data) {
		if _, ok := r.scope.Data[need]; ok {
			continue
		}
		if r.over(need) {
			one.end(nil) // what it needs has failed, which is reported there
		}
		return
	}
	cfg, diags := r.scope.Config(one.Config, cty.NilVal)
	r.secrets.add(cfg.Secrets...)
	if diags.HasErrors() {
		one.end(diags)
		return
	}
	raw, err := engine.EncodeConfig(one.Spec.Attributes, cfg.Value)
	if err != nil {
		one.end(one.cant(err))
		return
	}
	one.begun, one.diags = true, diags
	one.req = engine.DataRequest{Run: r.scope.Run, Type: one.Type, Config: raw}
	ctx := engine.WithSecrets(r.ctx, r.secrets.list())
	r.running++
	go func() {
		one.result, one.err = r.host.Read(ctx, one.req)
		r.ended <- one
	}()
}

// over reports whether the data source of that name won't be read any more.
func (r *dataReader) over(name string) bool {
	for _, one := range r.all {
		if one.name() == name {
			return one.over
		}
	}
	return true
}

// take takes over what was read.
func (r *dataReader) take(one *reading) {
	r.running--
	one.over = true
	if one.err == nil {
		one.err = setData(r.scope, one.Data, one.result)
	}
	if one.read = one.err == nil; !one.read {
		one.diags = append(one.diags, one.cant(one.err)...)
	}
}

func (r *reading) cant(err error) hcl.Diagnostics {
	return hcl.Diagnostics{r.Config.Diagnose("Can't read data."+r.name(), err)}
}

func setData(scope *lang.Scope, d *lang.Data, res engine.Result) error {
	v, err := engine.ResultValue(d.Spec.Results, res, false)
	if err != nil {
		return err
	}
	scope.Data[d.Type+"."+d.Name] = v
	return nil
}
