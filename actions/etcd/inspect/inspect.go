// Package inspect reads etcd snapshots and database files without changing a
// byte of them.
//
// The reading is done in a child process, the same binary again: bbolt can't
// be trusted with a damaged file in the process that carries a recovery out.
// It panics in goroutines of its own, and a page that points outside the file
// ends in a signal. In a child either is a finding like any other.
package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"runbook/actions/etcd/child"
	"runbook/actions/etcd/keyspace"
	"runbook/engine"
)

// Info is what a sound file holds.
type Info struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // in bytes
	// Hash is the trailing SHA-256 in hexadecimal; empty where there is none.
	Hash string `json:"hash"`
	// Sum is the SHA-256 of the database, whether it stands behind it or not.
	Sum string `json:"sum"`
	// Revision is the newest revision, CompactRevision the one up to which the
	// history is gone.
	Revision        int64 `json:"revision"`
	CompactRevision int64 `json:"compact_revision"`
	// TotalKeys counts the stored revisions of keys, Keys the live keys.
	TotalKeys int64 `json:"total_keys"`
	Keys      int64 `json:"keys"`
	// ContentHash is the digest of the live keys: equal contents have equal
	// digests, however the files differ.
	ContentHash string `json:"content_hash"`
	// StorageVersion is etcd's storage version, such as "3.6.0"; empty in
	// files of etcd 3.5 and older, which don't record it.
	StorageVersion  string   `json:"storage_version"`
	ConsistentIndex uint64   `json:"consistent_index"`
	Members         []Member `json:"members"`
	// Alarms are the raised alarms, such as "NOSPACE".
	Alarms []string `json:"alarms"`
	// Warnings are findings that don't keep the file from being used.
	Warnings []string `json:"warnings"`
}

// Member is a member of the cluster that the file was taken from.
type Member struct {
	ID       string   `json:"id"` // in hexadecimal
	Name     string   `json:"name"`
	PeerURLs []string `json:"peer_urls"`
}

// Damaged says why a file can't be used: a plain sentence about the file, not
// about the reading of it.
type Damaged struct{ Reason string }

func (d *Damaged) Error() string { return d.Reason }

// childArgument is the hidden first argument that makes the binary a child.
const childArgument = "__inspect-etcd-db"

// The child's tasks.
const (
	taskCheck     = "check"     // check all of the file and describe it
	taskSum       = "sum"       // check its SHA-256 alone
	taskKeys      = "keys"      // list the live keys' records
	taskTip       = "tip"       // tell how far it got, without checking it
	taskCompare   = "compare"   // check a restored database and compare it with its snapshot
	taskInventory = "inventory" // the same as check, and count Kubernetes' objects
)

// File checks the file at path completely and returns what it holds. The
// error is a *Damaged where the file is at fault.
func File(ctx context.Context, path string) (Info, error) {
	return Watched(ctx, path, func(int64) {})
}

// Watched is File, and tells progress how many bytes are checked.
func Watched(ctx context.Context, path string, progress func(done int64)) (Info, error) {
	info, err := ask(ctx, progress, taskCheck, path)
	var crash *crashed
	if errors.As(err, &crash) {
		// A database that crashes its reader is best told by its SHA-256.
		if _, sumErr := ask(ctx, progress, taskSum, path); sumErr != nil {
			return Info{}, sumErr
		}
		return Info{}, &Damaged{Reason: crash.Error()}
	}
	return info, err
}

// Tip tells how far the database at path got: its newest revision, its place
// in the log and its members. It reads a few pages and checks nothing else, so
// that it can tell where the rest of a file is damaged.
func Tip(ctx context.Context, path string) (Info, error) {
	info, err := ask(ctx, func(int64) {}, taskTip, path)
	var crash *crashed
	if errors.As(err, &crash) {
		return Info{}, &Damaged{Reason: crash.Error()}
	}
	return info, err
}

// Restored checks the structure of the database at path, and that it holds
// what the snapshot at original holds: every record of every key byte for
// byte, with one behind them that has the revision bump more than the last
// one's, and the same leases, users and roles. The Info has no digests.
func Restored(ctx context.Context, path, original string, bump int64) (Info, error) {
	info, err := ask(ctx, func(int64) {}, taskCompare, path, original, strconv.FormatInt(bump, 10))
	var crash *crashed
	if errors.As(err, &crash) {
		return Info{}, &Damaged{Reason: crash.Error()}
	}
	return info, err
}

// ask has a child carry a task out that ends in a reply.
func ask(ctx context.Context, progress func(int64), args ...string) (Info, error) {
	var rep reply
	err := runChild(ctx, args, func(stdout io.Reader) error {
		dec := json.NewDecoder(stdout)
		for rep = (reply{Done: -1}); rep.Done != 0; {
			rep = reply{}
			if err := dec.Decode(&rep); err != nil {
				return err
			}
			if rep.Done > 0 {
				progress(rep.Done)
			}
		}
		return nil
	})
	if rep.Damage != "" {
		return Info{}, &Damaged{Reason: rep.Damage}
	}
	if err != nil {
		return Info{}, err
	}
	return rep.Info, nil
}

// Keys calls fn for every live key of the file at path, in key order. It
// doesn't check the file: use File before.
func Keys(ctx context.Context, path string, fn func(keyspace.Record) error) error {
	err := runChild(ctx, []string{taskKeys, path}, func(stdout io.Reader) error {
		dec := json.NewDecoder(stdout)
		for {
			var line keyLine
			if err := dec.Decode(&line); err != nil {
				return err
			}
			switch {
			case line.Damage != "":
				return &Damaged{Reason: line.Damage}
			case line.End:
				return nil
			}
			if err := fn(line.Record); err != nil {
				return &stopError{err}
			}
		}
	})
	var crash *crashed
	if errors.As(err, &crash) {
		return &Damaged{Reason: crash.Error()}
	}
	return err
}

// reply is what the child says of a file: first how far it is, then all.
type reply struct {
	Done   int64  `json:"done,omitempty"` // in bytes; 0 in the last reply
	Info   Info   `json:"info"`
	Damage string `json:"damage,omitempty"`
}

// keyLine is one line of what the child says for taskKeys.
type keyLine struct {
	keyspace.Record
	End    bool   `json:"end,omitempty"`
	Damage string `json:"damage,omitempty"`
}

// stopError is an error of the caller's, not of the child.
type stopError struct{ error }

func (e *stopError) Unwrap() error { return e.error }

// crashed says how a child ended that a damaged file has crashed.
type crashed struct{ words string }

func (c *crashed) Error() string { return "its database is damaged: " + c.words }

// runChild runs a task in a child process and hands its output to read. args
// are the task, the file's path, and what else the task takes.
func runChild(ctx context.Context, args []string, read func(io.Reader) error) error {
	path := args[1]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := child.Command(ctx, append([]string{childArgument}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return engine.Errorf(path, "preparing its inspection: %w", err)
	}
	if err := child.Tie(cmd); err != nil {
		return engine.Errorf(path, "preparing its inspection: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return engine.Errorf(path, "starting its inspection: %w", err)
	}
	readErr := read(stdout)
	if readErr != nil {
		_, _ = io.Copy(io.Discard, stdoutUnlessStopped(readErr, stdout, cancel))
	}
	waitErr := cmd.Wait()
	return verdict(ctx, path, readErr, waitErr, stderr.String())
}

// stdoutUnlessStopped ends the child where the caller has seen enough, and
// otherwise returns the rest of the output, so that the child can finish and
// say how it failed.
func stdoutUnlessStopped(readErr error, stdout io.Reader, cancel func()) io.Reader {
	var stop *stopError
	if errors.As(readErr, &stop) {
		cancel()
		return strings.NewReader("")
	}
	return stdout
}

// verdict makes one error of how the reading and the child ended.
func verdict(ctx context.Context, path string, readErr, waitErr error, stderr string) error {
	var stop *stopError
	var damaged *Damaged
	switch {
	case errors.As(readErr, &stop):
		return stop.error
	case errors.As(readErr, &damaged):
		return damaged
	case ctx.Err() != nil:
		return engine.Errorf(path, "its inspection was ended: %w", context.Cause(ctx))
	case child.FromOutside(waitErr):
		return engine.Errorf(path, "its inspection was ended from outside: %w", waitErr).
			WithHint("This says nothing about the file. Was the host out of memory (dmesg)? Then try again.")
	case waitErr != nil:
		return &crashed{child.LastWords(stderr, waitErr)}
	case readErr != nil:
		return engine.Errorf(path, "understanding its inspection: %w", readErr)
	}
	return nil
}
