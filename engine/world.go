package engine

import (
	"context"
	"time"
)

// World is a host's facts under the predicted effects of the steps before.
// It can't write. While a step is applied there are no predicted effects and
// the World is the host as it is.
//
// Every method returns an *UnknownError where the answer depends on what an
// earlier step will have done; an action passes it on and the plan then says
// "known after step X".
type World interface {
	// Stat returns the facts of what is at path, without following a symbolic
	// link at its end. An absent path is no error: Exists is false.
	Stat(ctx context.Context, path string) (PathFact, error)
	// Walk calls fn for root and everything below it, in lexical order by path
	// element, without following symbolic links or entering other mounts. What
	// earlier steps will have put below root comes last. Where an earlier step will have created root with one owner
	// throughout, only root is visited.
	Walk(ctx context.Context, root string, fn func(PathFact) error) error
	// Source returns the path at which the content that will be at path can be
	// read now, for actions that look into files while planning. The path is
	// another one where an earlier step will have moved it. It fails with an
	// error that Is fs.ErrNotExist where there will be nothing.
	Source(ctx context.Context, path string) (string, error)
	// Unit returns the facts of a systemd unit. A unit that systemd doesn't
	// know is no error: LoadState is "not-found".
	Unit(ctx context.Context, name string) (UnitFact, error)
	// Run tells which run is planned or applied.
	Run() RunInfo
	// Touched names the last of the earlier steps that will have changed
	// something, and is empty where none will. It is for actions that look at
	// what is no fact of a host, such as what an API server holds: whatever a
	// step before them does may be what brings that server up, or changes it.
	Touched() string
}

// RunInfo names a run. While only planning, ID is the placeholder "<run-id>",
// so that the plan shows names built from it without inventing one.
type RunInfo struct {
	ID      string    `json:"id"`
	Runbook string    `json:"runbook"`
	Step    string    `json:"step,omitempty"`
	Started time.Time `json:"started"`
}

// PlannedRunID stands for the run's ID where a plan is made without a run.
const PlannedRunID = "<run-id>"

// The types of PathFact.Type.
const (
	TypeFile      = "file"
	TypeDirectory = "directory"
	TypeSymlink   = "symlink"
	TypeOther     = "other"
)

// PathFact is what is known of a path.
type PathFact struct {
	Path   string `json:"path"`
	Exists bool   `json:"exists"`
	Type   string `json:"type,omitempty"`
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Owner  string `json:"owner,omitempty"` // user name, or the number where there is none
	Group  string `json:"group,omitempty"` // likewise
	// Mode holds the permission bits with set-user-ID, set-group-ID and sticky
	// as in chmod(1): 07777 at most.
	Mode uint32 `json:"mode"`
	Size int64  `json:"size"` // in bytes; of the path itself, not of a tree
	// Free is the space in bytes that is left to unprivileged users on the
	// file system that holds the path, or its nearest existing parent.
	Free    int64     `json:"free"`
	Device  uint64    `json:"device"` // of the file system; with Inode, the file's identity
	Inode   uint64    `json:"inode"`
	ModTime time.Time `json:"mod_time"`
	Link    string    `json:"link,omitempty"`   // a symbolic link's content
	SHA256  string    `json:"sha256,omitempty"` // of a regular file, where asked for
}

// UnitFact is what systemd says of a unit, in systemd's own words.
type UnitFact struct {
	Name          string `json:"name"`
	LoadState     string `json:"load_state"`      // loaded, not-found, masked, …
	ActiveState   string `json:"active_state"`    // active, inactive, failed, activating, …
	SubState      string `json:"sub_state"`       // running, dead, auto-restart, …
	UnitFileState string `json:"unit_file_state"` // enabled, disabled, static, …
	MainPID       int    `json:"main_pid"`
	// InvocationID is new each time the unit is started.
	InvocationID string `json:"invocation_id"`
	Result       string `json:"result"` // of the last run: success, exit-code, timeout, …
}

// Effect is a fact that holds once a step is done. Exactly one of the
// pointers, Elsewhere and Anything is set.
type Effect struct {
	Moved   *Moved    `json:"moved,omitempty"`
	Created *Created  `json:"created,omitempty"`
	Copied  *Copied   `json:"copied,omitempty"`
	Owned   *Owned    `json:"owned,omitempty"`
	Removed *Removed  `json:"removed,omitempty"`
	Unit    *UnitFact `json:"unit,omitempty"`
	// Elsewhere names what changes that is no fact of a host, such as
	// "kubernetes". Only Touched tells of it.
	Elsewhere string `json:"elsewhere,omitempty"`
	// Anything says that what the step will do can't be known yet, so nothing
	// that later steps look at is certain.
	Anything bool `json:"anything,omitempty"`
	// Step is the step whose effect it is. The planner sets it.
	Step string `json:"step,omitempty"`
}

// Moved says that From, with all below it, will be at To.
type Moved struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Removed says that nothing will be at Path.
type Removed struct {
	Path string `json:"path"`
}

// Created says that something new will be at Fact.Path. What is below it, and
// the content of it, is unknown but for the owner, which is Fact's throughout.
type Created struct {
	Fact PathFact `json:"fact"`
	// Bytes is how much of the file system's free space it takes.
	Bytes int64 `json:"bytes,omitempty"`
	// Empty says that it will be a directory with nothing below it.
	Empty bool `json:"empty,omitempty"`
}

// Copied says that To, with all below it, will be as From is then: the same
// content, owners and modes.
type Copied struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Bytes is how much of the file system's free space it takes.
	Bytes int64 `json:"bytes,omitempty"`
}

// Owned says that Path will belong to UID and GID, and where Recursive is
// set all below it too.
type Owned struct {
	Path      string `json:"path"`
	UID       int    `json:"uid"`
	GID       int    `json:"gid"`
	Owner     string `json:"owner"`
	Group     string `json:"group"`
	Recursive bool   `json:"recursive,omitempty"`
	// Mode is the one that Path will have. Where it isn't set, the mode stays,
	// but for what the kernel takes from a file that changes hands.
	Mode *uint32 `json:"mode,omitempty"`
}
