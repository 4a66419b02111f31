package kube

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"runbook/engine"
)

// poll is one wait. Watches break when an API server is restarted and tell
// nothing of what was there before, so it asks again and again instead.
type poll struct {
	// what is waited for, as in "waiting until WHAT".
	what string
	// where is what it happens to, and attribute what names it.
	where, attribute  string
	timeout, interval int64 // in seconds
}

// firstPause is how soon a wait looks again for the first time.
const firstPause = 100 * time.Millisecond

// pause is how long to wait until the next look: no longer than the interval, and
// a small part of the wait so far, since what has just been asked for is often
// there in a moment.
func (p poll) pause(waited time.Duration) time.Duration {
	return min(max(firstPause, waited/8), seconds(p.interval))
}

// A look tells whether it is so, and what it saw. An answer that doesn't come
// may come yet; an error ends the wait.
type look func(ctx context.Context) (so bool, saw string, err error)

// until looks until it is so. It returns what was seen then, and after how
// many seconds.
func (p poll) until(ctx context.Context, r engine.Reporter, look look) (saw string, took int64, err error) {
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, seconds(p.timeout))
	defer cancel()
	again := time.NewTimer(p.pause(0))
	defer again.Stop()
	last := ""
	for {
		so, saw, err := look(within)
		if err != nil && within.Err() == nil && !mayPass(err) {
			return "", 0, failed(p.where, err)
		}
		if err != nil {
			so, saw = false, said(err)
		}
		if last == "" || inTime(within) { // what a look shows that was cut short says little
			last = saw
		}
		if so {
			return saw, int64(time.Since(began).Seconds()), nil
		}
		r.Progress(engine.Progress{Doing: "waiting until " + p.what + ": " + last})
		select {
		case <-again.C:
		case <-within.Done():
			return "", 0, p.late(ctx, last)
		}
		again.Reset(p.pause(time.Since(began)))
	}
}

// mayPass reports whether waiting may help. An API server that has just started
// forbids a lot until it has read its roles.
func mayPass(err error) bool {
	return unanswered(err) || apierrors.IsInternalError(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err)
}

// inTime reports whether ctx goes on. Whatever ends with its deadline may do so
// a moment before ctx says it.
func inTime(ctx context.Context) bool {
	deadline, _ := ctx.Deadline()
	return ctx.Err() == nil && time.Now().Before(deadline)
}

func (p poll) late(ctx context.Context, last string) error {
	if ctx.Err() != nil {
		return engine.Errorf(p.where, "the wait was cut short: %w; last seen: %s", context.Cause(ctx), last).
			WithHint("Resume to wait again.").WithAttribute(p.attribute)
	}
	return engine.Errorf(p.where, "it has not come to that within %s; last seen: %s", seconds(p.timeout), last).
		WithHint("Find out why it doesn't; if it only takes longer, raise timeout_seconds. Then resume.").WithAttribute(p.attribute)
}

// check is the line of the plan.
func (p poll) check() engine.Change {
	return engine.Change{Checks: []string{p.what + ", within " + seconds(p.timeout).String()}}
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
