// Package replay applies a log's entries to a copy of a database, with the
// code with which etcd itself does it when it starts.
//
// It is done in a child process, the same binary again: what etcd's code can't
// cope with ends the process that runs it.
package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"syscall"

	"runbook/actions/etcd/child"
	"runbook/engine"
)

// childArgument is the hidden first argument that makes the binary a child.
const childArgument = "__replay-etcd-log"

// Outcome is what a replay did.
type Outcome struct {
	// Entries is how many entries of the log lie behind the database's, and
	// were gone through; Applied is how many of them were requests to its
	// keys, leases, users or alarms.
	Entries int64 `json:"entries"`
	Applied int64 `json:"applied"`
	// Index is the last entry's, or the database's own.
	Index uint64 `json:"index"`
	// Refused says why no entry could be applied; empty if all were.
	Refused string `json:"refused"`
}

// Run applies to the database at db what the log in the directory wal has
// behind it, up to the log's first damage. The database has to be a sound copy
// that nobody else uses; it isn't synced.
func Run(ctx context.Context, db, wal string) (Outcome, error) {
	cmd := child.Command(ctx, childArgument, db, wal)
	// A child that outlived this process, be it for a moment, would write to a
	// file that a resumed run has begun again.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return Outcome{}, engine.Errorf(db, "replaying the log was ended: %w", context.Cause(ctx))
	case err != nil:
		return Outcome{}, engine.Errorf(db, "replaying the log of %s: %s", wal, child.LastWords(stderr.String(), err)).
			WithHint("Nothing was changed: this was a copy. etcd itself would most likely fail at the same entry; restore a backup.")
	}
	var o Outcome
	if err := json.Unmarshal(stdout.Bytes(), &o); err != nil {
		return o, engine.Errorf(db, "understanding the replay's answer: %w", err)
	}
	return o, nil
}

// ChildMain does a child's work where args, the process's arguments without
// its name, ask for it, and reports whether they did.
func ChildMain(args []string) bool {
	if len(args) != 3 || args[0] != childArgument {
		return false
	}
	if err := answer(args[1], args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func answer(db, wal string, stdout io.Writer) error {
	o, err := replay(db, wal)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(o)
}
