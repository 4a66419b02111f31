package diagnose

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Look finds out what there is to know. Its error is one of the host or of the
// context, never one of what it looks at.
func Look(ctx context.Context, o Options) (*Report, error) {
	r := &Report{Options: o, Findings: []Finding{}, Backups: []Backup{}}
	r.Member = exists(filepath.Join(o.DataDir, "member"))
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	// A running etcd writes while it is read: what looks damaged is read again.
	for range 3 {
		if !r.Running() || r.sound() {
			break
		}
		if err := r.read(ctx); err != nil {
			return nil, err
		}
	}
	r.Version = r.version()
	for _, step := range []func(context.Context) error{r.gather, r.readBackups, r.judge, r.examine} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	r.climb()
	r.tell()
	return r, nil
}

// member is the directory "member".
func (r *Report) member() string {
	if r.memberDir != "" {
		return r.memberDir
	}
	return filepath.Join(r.Options.DataDir, "member")
}

// walDir is where the log is.
func (r *Report) walDir() string {
	if r.Options.WALDir != "" {
		return r.Options.WALDir
	}
	return filepath.Join(r.member(), "wal")
}

// read reads the files, and looks around them.
func (r *Report) read(ctx context.Context) error {
	if err := r.readFiles(ctx); err != nil {
		return err
	}
	r.Around = lookAround(r.Options, r.walDir())
	return nil
}

// readFiles reads the files, each kind in a child of its own.
func (r *Report) readFiles(ctx context.Context) error {
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool { return f.Class == "unreadable" })
	snap := filepath.Join(r.member(), "snap")
	db := filepath.Join(snap, "db")
	r.DB, r.WAL, r.Snaps = DB{Path: db}, WAL{Dir: r.walDir()}, Snaps{}
	for _, look := range []struct {
		task, path string
		out        any
		crash      func()
	}{
		{taskDB, db, &r.DB, func() { r.DB.Exists, r.DB.Fatal = true, "reading it ended the reader" }},
		{taskWAL, r.walDir(), &r.WAL, func() {
			r.WAL.Exists, r.WAL.Files = true, []WALFile{{}}
			r.WAL.Fault = &WALFault{Kind: faultUnread, File: r.walDir(), Reason: "reading it ended the reader"}
		}},
		{taskSnap, snap, &r.Snaps, func() {}},
	} {
		err := inChild(ctx, look.task, look.path, look.out)
		var end *crashed
		if errors.As(err, &end) {
			look.crash()
			r.at("unreadable", Damage, look.path, "", fmt.Sprintf("Reading %s ended the process that read it: %s.", look.path, end.reason), "The file is damaged in a way that isn't known here. Copy it aside.")
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Running reports whether a process uses the directory.
func (r *Report) Running() bool {
	return len(r.Around.Users) > 0 || slices.ContainsFunc(r.Around.Processes, func(p Process) bool {
		return p.Name == "etcd" && p.DataDir != "" && filepath.Clean(p.DataDir) == filepath.Clean(r.Options.DataDir)
	})
}

// sound reports whether the files that were read show no damage.
func (r *Report) sound() bool { return r.DB.Whole() && r.DB.BadValues == 0 && r.WAL.Fault == nil }

// judge says what is wrong, and what is worth knowing.
func (r *Report) judge(ctx context.Context) error {
	r.judgeUse()
	r.judgeDirectory()
	r.judgeDB()
	r.judgeWAL()
	r.judgeSnaps()
	r.judgeMembers()
	r.judgeConfig()
	r.judgeContents()
	r.judgeAlarms()
	r.judgeRoom()
	r.judgeOwners()
	r.judgeLogs(ctx)
	// The heaviest first.
	rank := []string{Damage, Mistake, Note}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return slices.Index(rank, a.Severity) - slices.Index(rank, b.Severity)
	})
	return nil
}
