package file

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"runbook/actions/file/pki"
	"runbook/engine"
)

// Plan implements engine.Action.
func (a *renew) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	if a.RenewBefore >= a.Days {
		return engine.Change{}, engine.Errorf(a.Path, "a certificate for %d days would be due at once", a.Days).
			WithHint("renew_before has to be less than days.").WithAttribute("renew_before")
	}
	fact, err := w.Stat(ctx, filepath.Clean(a.Path))
	if err != nil {
		return engine.Change{}, err
	}
	if err := refuseWrite(ctx, w, fact); err != nil {
		return engine.Change{}, err
	}
	now := time.Now()
	i, err := a.gather(ctx, w.Source, now)
	if err != nil {
		return engine.Change{}, err
	}
	items := a.items(i, fact, now)
	if len(items) == 0 {
		c := i.doc.Certificate
		return engine.Change{Results: engine.Result{"path": i.path, "kept": nil, "subject": c.Subject.String(), "not_after": rfc3339(c.NotAfter)}}, nil
	}
	return a.change(ctx, w, i, fact, items)
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// items compares the certificate with what it is to be.
func (a *renew) items(i *issuing, fact engine.PathFact, now time.Time) []engine.Item {
	until := i.ca.Until(now, a.valid())
	validity := engine.Item{Target: i.path, Attribute: "validity", After: i.validity(until, a.Days),
		Note: fmt.Sprintf("%s; the new one until %s", i.template.Subject, until.UTC().Format(time.DateOnly))}
	old := i.doc.Certificate
	if old == nil {
		return []engine.Item{i.made(fact, validity)}
	}
	validity.Before = "until " + utc(old.NotAfter)
	if now.Before(old.NotBefore) {
		validity.Before = "from " + utc(old.NotBefore)
	}
	if ago := humanize.RelTime(old.NotAfter, now, "ago", "from now"); !now.Before(old.NotAfter) {
		validity.Note = "expired " + ago + "; " + validity.Note
	}
	others := i.differences(old, a.further())
	due := now.Before(old.NotBefore) || !now.Add(time.Duration(a.RenewBefore)*day).Before(old.NotAfter) && until.After(old.NotAfter)
	if len(others) == 0 && !due {
		return nil
	}
	return append([]engine.Item{validity}, others...)
}

// validity says how long the new certificate is good for, in words that are the
// same whenever the step runs.
func (i *issuing) validity(until time.Time, days int64) string {
	if until.Equal(i.ca.Certificate.NotAfter) {
		return "until its CA's end, " + utc(until)
	}
	return fmt.Sprintf("for %d days", days)
}

// made is the item of a certificate that is gone.
func (i *issuing) made(fact engine.PathFact, item engine.Item) engine.Item {
	item.Attribute, item.Before = "", "absent"
	if fact.Exists {
		item.Before = "no certificate"
	}
	who := i.template.Subject.String()
	if names := pki.NamesOf(i.template); !names.Empty() {
		who += " for " + names.String()
	}
	item.After = fmt.Sprintf("certificate of %s, valid %s", who, item.After)
	return item
}

// differences are those that want a new certificate, whenever the old one ends.
func (i *issuing) differences(old *x509.Certificate, further pki.Names) (items []engine.Item) {
	add := func(attribute, before, after string) {
		items = append(items, engine.Item{Target: i.path, Attribute: attribute, Before: before, After: after})
	}
	if !i.ca.Signed(old) {
		before := old.Issuer.String()
		if before == i.ca.Certificate.Subject.String() {
			before = "another CA of that name"
		}
		add("issuer", before, fmt.Sprintf("%s (%s)", i.ca.Certificate.Subject, i.caPath))
	}
	if !pki.SameKey(old.PublicKey, i.public) {
		add("public key", "of another key", "of the key in "+i.keyPath)
	}
	if has := pki.NamesOf(old); !further.Without(has).Empty() {
		add("names", has.String(), has.And(further).String())
	}
	return items
}

func (a *renew) change(ctx context.Context, w engine.World, i *issuing, fact engine.PathFact, items []engine.Item) (engine.Change, error) {
	to, id, err := wanted(nil, nil, nil, fact, 0o644)
	if err != nil {
		return engine.Change{}, err
	}
	p, err := choosePlace(ctx, w, fact, "renewing", "path")
	if err != nil {
		return engine.Change{}, err
	}
	result, kept, note := p.kept()
	if note != "" {
		items[0].Note += "; " + note
	}
	made := engine.PathFact{Path: p.Target, Exists: true, Type: engine.TypeFile, UID: to.UID, GID: to.GID, Owner: id.user, Group: id.group, Mode: to.Mode}
	c := engine.Change{
		Items:   items,
		Effects: p.effects(engine.Effect{Created: &engine.Created{Fact: made}}),
		Results: engine.Result{"path": p.Target, "kept": result, "subject": i.template.Subject.String()},
		Kept:    kept, UndoKept: []string{p.Undone},
	}
	return c, c.SetData(renewed{place: p, Rights: to, CA: digest(i.ca.Certificate.Raw), Key: i.keyDigest()})
}

func digest(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

func (i *issuing) keyDigest() string {
	der, err := x509.MarshalPKIXPublicKey(i.public)
	if err != nil {
		return "" // of a kind that can't be signed either
	}
	return digest(der)
}
