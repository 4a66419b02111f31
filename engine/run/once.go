package run

import (
	"context"
	"sync"

	"runbook/engine"
)

// once is a host of which a plan reads each data source once, in however many of
// the plan's runbooks it stands: they all speak of the same moment.
type once struct {
	engine.Host
	mu   sync.Mutex
	read map[string]engine.Result
}

func readOnce(host engine.Host) *once {
	return &once{Host: host, read: map[string]engine.Result{}}
}

// Read implements engine.Host.
func (o *once) Read(ctx context.Context, req engine.DataRequest) (engine.Result, error) {
	key := req.Type + string(req.Config)
	if res, ok := o.known(key); ok {
		return res, nil
	}
	res, err := o.Host.Read(ctx, req)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read[key] = res
	return res, nil
}

func (o *once) known(key string) (engine.Result, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	res, ok := o.read[key]
	return res, ok
}
