package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"runbook/actions/etcd/child"
	"runbook/engine"
)

// drillOrder is what the child is told.
type drillOrder struct {
	Snapshot string `json:"snapshot"`
	Dir      string `json:"dir"` // of the drill
	Prefix   string `json:"prefix"`
	Memory   int64  `json:"memory"` // that the child may take, in bytes
}

// drillLine is one line of what the child says: what it does, or what it found
// so far, or why the drill could not be made.
type drillLine struct {
	Part  string   `json:"part,omitempty"`
	Found *drilled `json:"found,omitempty"`
	Error string   `json:"error,omitempty"`
	Hint  string   `json:"hint,omitempty"`
}

// drillMemory is what the child may take beside what grows with the snapshot.
const drillMemory = 1 << 30

// rehearse carries the drill out in a child: what a bad snapshot does to etcd
// and its libraries is then a finding like any other, and memory, processor
// and disk can be bounded without bounding a recovery.
func (a *drill) rehearse(ctx context.Context, s *scratch, size int64, rep engine.Reporter) (drilled, error) {
	if err := a.checkRoom(ctx, thisHost{}, size); err != nil {
		return drilled{}, err
	}
	order, err := json.Marshal(drillOrder{Snapshot: a.Snapshot, Dir: s.path, Prefix: a.Prefix, Memory: drillMemory + drillSpace(size)})
	if err != nil {
		return drilled{}, engine.Errorf(a.Snapshot, "preparing the drill: %w", err)
	}
	watch := drillWatch{snapshot: a.Snapshot, rep: rep}
	waitErr, err := watch.run(ctx, s, string(order))
	if err != nil {
		return drilled{}, err
	}
	return watch.verdict(ctx, waitErr)
}

// drillWatch follows a child.
type drillWatch struct {
	snapshot string
	rep      engine.Reporter
	part     string    // the one in hand
	last     drillLine // what it said last of its findings
	stderr   bytes.Buffer
}

// run starts the child and listens to it until its end.
func (w *drillWatch) run(ctx context.Context, s *scratch, order string) (waitErr, err error) {
	// It is in a process group of its own, and its priority is lowered as a whole.
	cmd := child.Command(ctx, drillArgument, order)
	cmd.Dir = s.path // a socket's path is short: it is named from here
	// The directory stays locked as long as the child lives.
	cmd.ExtraFiles = []*os.File{s.dir}
	cmd.Stderr = &w.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, engine.Errorf(w.snapshot, "preparing the drill: %w", err)
	}
	if err := child.Tie(cmd); err != nil {
		return nil, engine.Errorf(w.snapshot, "preparing the drill: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, engine.Errorf(w.snapshot, "starting the drill: %w", err)
	}
	w.listen(stdout)
	return cmd.Wait(), nil
}

// listen reads to the end of what the child says, which may come early.
func (w *drillWatch) listen(stdout io.Reader) {
	for dec := json.NewDecoder(stdout); ; {
		var line drillLine
		if dec.Decode(&line) != nil {
			return
		}
		if line.Part != "" {
			w.part = line.Part
			w.rep.Progress(engine.Progress{Doing: drillDoing[line.Part]})
			continue
		}
		w.last = line
	}
}

var drillDoing = map[string]string{
	partVerify:  "verifying the snapshot",
	partRestore: "restoring it into a scratch directory",
	partBoot:    "starting an etcd on it",
	partCompare: "comparing its keys with the snapshot's",
	partCount:   "counting the objects",
}

// verdict makes one of what the child found and how it ended.
func (w *drillWatch) verdict(ctx context.Context, waitErr error) (drilled, error) {
	found := drilled{Objects: map[string]int64{}, Seconds: map[string]float64{}}
	if w.last.Found != nil {
		found = *w.last.Found
	}
	words, outside := "", child.FromOutside(waitErr)
	if waitErr != nil {
		words = child.LastWords(w.stderr.String(), waitErr)
	}
	switch {
	case ctx.Err() != nil:
		return found, engine.Errorf(w.snapshot, "the drill was ended: %w", context.Cause(ctx))
	case w.last.Error != "":
		return found, engine.Errorf(w.snapshot, "the drill could not be made: %s", w.last.Error).WithHint("%s", w.last.Hint)
	case outside, strings.Contains(words, "out of memory"), strings.Contains(words, "cannot allocate memory"):
		return found, engine.Errorf(w.snapshot, "the drill was ended from outside or ran out of memory at its part %s: %s", w.part, words).
			WithHint("This says nothing about the snapshot. Was the host out of memory (dmesg)? Then try again, or rehearse it on another host.")
	case waitErr != nil && w.part == "":
		return found, engine.Errorf(w.snapshot, "the drill could not be made: %s", words).
			WithHint("This says nothing about the snapshot.")
	case waitErr != nil:
		found.Saved, found.Failed, found.Reason = false, w.part, "etcd ended: "+words
	case !found.Saved && found.Failed == "":
		return found, engine.Errorf(w.snapshot, "the drill ended without a word").WithHint("This says nothing about the snapshot. Try again.")
	}
	return found, nil
}

// drillFinding reports whether err, from a part of the drill, tells something
// about the snapshot; otherwise the host was at fault.
func drillFinding(part string, err error) bool {
	var errno syscall.Errno
	var exit *exec.ExitError
	switch {
	case errors.As(err, &errno), errors.As(err, &exit):
		return false
	case part == partVerify:
		var e *engine.Error
		return errors.As(err, &e) && e.Attribute == "snapshot"
	}
	return true
}
