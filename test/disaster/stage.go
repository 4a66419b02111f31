package disaster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Site is a machine with an etcd, whatever runs it.
type Site interface {
	Machine
	// Client returns a client of etcd's.
	Client(ctx context.Context) (*clientv3.Client, error)
	// Reset takes away what earlier disasters have left, and waits until the site is
	// whole.
	Reset(ctx context.Context) error
	// Backup takes a backup. There is no other.
	Backup(ctx context.Context) error
	// Objects writes what users of the site write by other ways than etcd's, enters
	// it in the ledger, and says whether it was written since the backup.
	Objects(ctx context.Context, l *Ledger, c *clientv3.Client, since bool) error
	// Serves waits until the site serves, and takes writes.
	Serves(ctx context.Context) error
	// Whole waits until everything that the site is there for is ready, and sees that
	// its users are told what etcd holds.
	Whole(ctx context.Context, l *Ledger, c *clientv3.Client) error
}

// A Stage is a site with a way to bring it back.
type Stage struct {
	Site
	// Recovery is the command that is typed, whatever has happened.
	Recovery string
	// Look is a command that makes a plan of it, and Diagnosis one that writes its
	// findings as JSON.
	Look, Diagnosis string
	// Keys is how many keys are written before the backup, and since.
	Keys int
}

// How long is waited for what is bound to come, or for a recovery that is at a
// loss. A kubelet in back-off takes five minutes.
const (
	toBreak   = 15 * time.Minute
	toRecover = 12 * time.Minute
	toServe   = 3 * time.Minute
	// A recovery that has failed may have started everything nevertheless.
	toServeAnyway = 20 * time.Second
)

// Meet has the site meet with a disaster, and brings it back. An error is one of
// the test's own.
func (s *Stage) Meet(ctx context.Context, d *Disaster) (*Outcome, error) {
	o := &Outcome{Disaster: d, ledger: NewLedger(d.Name), Plans: map[int]string{}}
	watching, stop := context.WithCancel(ctx)
	err := s.breaks(ctx, watching, o)
	stop()
	if err != nil {
		return nil, fmt.Errorf("break the host: %w", err)
	}
	if err := s.looks(ctx, o); err != nil {
		return nil, fmt.Errorf("look at the broken host: %w", err)
	}
	if err := s.recovers(ctx, o); err != nil {
		return nil, fmt.Errorf("recover: %w\n%s", err, o.Session.Screen)
	}
	o.proves(ctx, s)
	return o, nil
}

// breaks fills the ledger, with a backup in its middle, and breaks the host.
func (s *Stage) breaks(ctx, watching context.Context, o *Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, toBreak)
	defer cancel()
	if err := s.Reset(ctx); err != nil {
		return err
	}
	if err := s.sh(ctx, o.Disaster.Setup); err != nil {
		return err
	}
	c, err := s.Client(watching)
	if err != nil {
		return err
	}
	context.AfterFunc(watching, func() { _ = c.Close() }) // what was written is acknowledged
	if o.history, err = Follow(watching, c); err != nil {
		return err
	}
	if err := errors.Join(s.writes(ctx, o, c, false), s.Backup(ctx), s.writes(ctx, o, c, true)); err != nil {
		return err
	}
	if err := errors.Join(o.history.Await(ctx, o.ledger.Last()), commit(ctx, c)); err != nil {
		return err
	}
	defer o.history.End() // before the watch finds another etcd, as it looks for one by itself
	return s.sh(ctx, o.Disaster.Break)
}

// commit makes etcd write to its database what is only in its log as yet, up to a
// tenth of a second later than it is acknowledged. What is lost with a log would be
// left to chance.
func commit(ctx context.Context, c *clientv3.Client) error {
	_, err := clientv3.RetryMaintenanceClient(c, c.ActiveConnection()).Hash(ctx, &etcdserverpb.HashRequest{})
	return err
}

func (s *Stage) writes(ctx context.Context, o *Outcome, c *clientv3.Client, since bool) error {
	if err := o.ledger.Write(ctx, c, s.Keys, since); err != nil {
		return err
	}
	return s.Objects(ctx, o.ledger, c, since)
}

func (s *Stage) sh(ctx context.Context, script string) error {
	if script == "" {
		return nil
	}
	if out, err := s.Command(ctx, "sh", "-ec", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return nil
}

// looks reads the diagnosis, and the plan as terminals of two sizes show it.
func (s *Stage) looks(ctx context.Context, o *Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, toServe)
	defer cancel()
	out, err := s.Command(ctx, "sh", "-c", s.Diagnosis).Output()
	var document struct {
		Result struct{ Classes []string }
	}
	if bad := json.Unmarshal(out, &document); bad != nil {
		return fmt.Errorf("%s: %w: %w\n%s", s.Diagnosis, err, bad, out)
	}
	o.Classes = document.Result.Classes
	for _, width := range []int{80, 50} {
		var look Session
		if err := look.Types(ctx, s, width, 24, s.Look); err != nil {
			return err
		}
		o.Plans[width] = look.Screen
	}
	return nil
}

// recovers types the command. Where that is blocked it does what it was told to,
// and types it once more.
func (s *Stage) recovers(ctx context.Context, o *Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, toRecover)
	defer cancel()
	if err := o.Session.Types(ctx, s, 80, 24, s.Recovery); err != nil {
		return err
	}
	blocked := o.Disaster.Blocked
	if o.Session.Code == 0 || blocked == nil {
		return nil
	}
	told := blocked.Says.FindStringSubmatch(o.Session.Said())
	if told == nil {
		return nil // which the outcome complains of
	}
	o.Told = true
	by := blocked.Type
	if by == "" {
		by = told[1]
	}
	for _, line := range []string{by, s.Recovery} {
		if err := o.Session.Types(ctx, s, 80, 24, strings.TrimSpace(line)); err != nil {
			return err
		}
	}
	return nil
}
