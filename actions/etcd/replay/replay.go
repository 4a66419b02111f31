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
	"os/exec"
	"strings"
	"syscall"

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
	// /proc/self/exe is this very binary even if it was replaced on disk.
	cmd := exec.CommandContext(ctx, "/proc/self/exe", childArgument, db, wal)
	cmd.Env = []string{"GOTRACEBACK=none"}
	// A Ctrl-C is for this process to heed. A child that outlived it would
	// write to a file that a resumed run has begun again.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return Outcome{}, engine.Errorf(db, "replaying the log was ended: %w", context.Cause(ctx))
	case err != nil:
		return Outcome{}, engine.Errorf(db, "replaying the log of %s: %s", wal, lastWords(stderr.String(), err)).
			WithHint("Nothing was changed: this was a copy. etcd itself would most likely fail at the same entry; restore a backup.")
	}
	var o Outcome
	if err := json.Unmarshal(stdout.Bytes(), &o); err != nil {
		return o, engine.Errorf(db, "understanding the replay's answer: %w", err)
	}
	return o, nil
}

// lastWords is the line in which a child said why it ended.
func lastWords(stderr string, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	if line == "" {
		return err.Error()
	}
	return line
}

// ChildMain does a child's work where args, the process's arguments without
// its name, ask for it, and reports whether they did.
func ChildMain(args []string) bool {
	if len(args) != 3 || args[0] != childArgument {
		return false
	}
	if err := child(args[1], args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func child(db, wal string, stdout io.Writer) error {
	o, err := replay(db, wal)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(o)
}
