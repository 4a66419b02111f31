package file

import (
	"context"
	"maps"
	"os"
	"time"

	"runbook/engine"
	"runbook/engine/durable"
)

// renewed is certificate_renew's record. The certificate isn't in it: where a
// call was cut short, the next one issues another, and the place tells which
// of them is in use.
type renewed struct {
	place
	Rights rights `json:"rights"`
	CA     string `json:"ca"`  // digest of the CA's certificate
	Key    string `json:"key"` // digest of the public key
}

// Apply implements engine.Action.
func (a *renew) Apply(ctx context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var r renewed
	if err := c.GetData(&r); err != nil {
		return nil, err
	}
	ready := func() (bool, error) { return a.ready(ctx, r) }
	if err := r.fill(ready, func() error { return a.stage(ctx, r) }); err != nil {
		return nil, err
	}
	i, err := a.gatherSame(ctx, r)
	if err != nil {
		return nil, err
	}
	res := maps.Clone(c.Results)
	res["not_after"] = rfc3339(i.doc.Certificate.NotAfter)
	return res, nil
}

// gatherSame reads what the certificate is issued from, and refuses what isn't
// what was planned with.
func (a *renew) gatherSame(ctx context.Context, r renewed) (*issuing, error) {
	i, err := a.gather(ctx, sourceHere, time.Now())
	switch {
	case err != nil:
		return nil, err
	case digest(i.ca.Certificate.Raw) != r.CA:
		return nil, replaced(i.caPath)
	case i.keyDigest() != r.Key:
		return nil, replaced(i.keyPath)
	}
	return i, nil
}

// ready reports whether the file in place is one that this step would make.
func (a *renew) ready(ctx context.Context, r renewed) (bool, error) {
	kind, now, err := rightsAt(r.Target)
	if err != nil || kind != regular || now != r.Rights {
		return false, err
	}
	i, err := a.gatherSame(ctx, r)
	if err != nil {
		return false, err
	}
	return i.doc.Certificate != nil && len(a.items(i, engine.PathFact{}, time.Now())) == 0, nil
}

// stage issues the certificate and writes the file that holds it.
func (a *renew) stage(ctx context.Context, r renewed) error {
	i, err := a.gatherSame(ctx, r)
	if err != nil {
		return err
	}
	der, err := i.ca.Issue(i.template, i.public, time.Now(), a.valid())
	if err != nil {
		return engine.Errorf(r.Target, "issuing the certificate: %w", err).WithHint("Look at the CA: openssl x509 -text -in %s.", i.caPath)
	}
	text, err := i.doc.With(der)
	if err != nil {
		return engine.Errorf(r.Target, "%w", err).WithHint("Have kubeadm renew it: kubeadm certs renew --help.").WithAttribute("path")
	}
	return durable.Create(r.Staging, func(f *os.File) error {
		if _, err := f.Write(text); err != nil {
			return &engine.Error{Where: r.Staging, Err: err}
		}
		if r.Existed {
			if err := inheritAttributes(r.Target, r.Old, f); err != nil {
				return err
			}
		}
		return r.Rights.give(int(f.Fd()), r.Staging)
	})
}

// Undo implements engine.Action.
func (a *renew) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var r renewed
	if err := c.GetData(&r); err != nil {
		return err
	}
	return r.clear()
}
