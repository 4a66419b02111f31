package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
	"runbook/engine/durable"
)

// save writes a snapshot of a running etcd to a file.
type save struct {
	Endpoints []string  `cty:"endpoints"`
	TLS       *tlsFiles `cty:"tls"`
	Timeout   int64     `cty:"timeout_seconds"`
	Path      string    `cty:"path"`
	Copies    []string  `cty:"copies"`
	DataDir   *string   `cty:"data_dir"`
}

var _ engine.Action = (*save)(nil)

func saveSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_snapshot_save",
		Doc: "Saves a snapshot of a running etcd and verifies it. " +
			"It gets its name only once it is complete, verified and on disk, and so does each copy. Nothing is saved where a snapshot that verifies is there already.",
		Attributes: append(connectionAttributes(),
			engine.Attribute{Name: "path", Type: cty.String, Required: true, Check: checkAbsolute,
				Doc: "The file to write, with mode 0600; its directory has to exist. While it is being written, its name ends in .part."},
			engine.Attribute{Name: "copies", Type: cty.List(cty.String), Check: checkDirectories,
				Doc: "Further directories that get a copy of the same name, such as one on another disk. They have to exist. Each copy is read back and compared by its SHA-256."},
			engine.Attribute{Name: "data_dir", Type: cty.String, Check: checkAbsolute,
				Doc: "etcd's data directory, if it is on this host. The plan then checks that there is room, and warns of a snapshot on the same device as the data."}),
		Results: snapshotResults(),
		Example: `step "etcd_snapshot_save" "backup" {
  endpoints = ["https://127.0.0.1:2379"]
  tls = {
    cert = "/etc/kubernetes/pki/etcd/server.crt"
    key  = "/etc/kubernetes/pki/etcd/server.key"
    ca   = "/etc/kubernetes/pki/etcd/ca.crt"
  }
  path   = "/var/backups/etcd/backup-${run.id}.db"
  copies = ["/mnt/nfs/etcd"]
}`,
		New: func() engine.Action { return &save{} },
	}
}

// partial ends the name of a file that is being written.
const partial = ".part"

// saved is what the Change of a save records.
type saved struct {
	Files    []savedFile `json:"files"` // that the step makes
	Warnings []string    `json:"warnings,omitempty"`
}

type savedFile struct {
	Path   string `json:"path"`
	Undone string `json:"undone"`
}

// Plan implements engine.Action. Whether etcd answers isn't asked: an earlier
// step may be what starts it.
func (a *save) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	have, err := a.existing(ctx, w)
	if err != nil {
		return engine.Change{}, err
	}
	paths, err := a.missing(ctx, w, have)
	if err != nil {
		return engine.Change{}, err
	}
	c := engine.Change{Results: engine.Result{"path": a.Path}}
	if have != nil {
		c.Results = snapshotResult(*have)
	}
	if len(paths) == 0 {
		return c, nil
	}
	size, err := a.checkSpace(ctx, w, paths, have)
	if err != nil {
		return engine.Change{}, err
	}
	return a.change(ctx, w, c, paths, size)
}

// change adds what making the files at paths means.
func (a *save) change(ctx context.Context, w engine.World, c engine.Change, paths []string, size int64) (engine.Change, error) {
	var r saved
	for _, path := range paths {
		note, err := a.sameDevice(ctx, w, path)
		if err != nil {
			return engine.Change{}, err
		}
		after := "copy of the snapshot"
		if path == a.Path {
			after = "snapshot of " + strings.Join(a.Endpoints, ", ")
			c.Checks = []string{"etcd answers at " + strings.Join(a.Endpoints, ", "), "the snapshot verifies"}
		}
		fact := engine.PathFact{Path: path, Exists: true, Type: engine.TypeFile, Mode: 0o600, Owner: "root", Group: "root"}
		f := savedFile{Path: path, Undone: path + ".undone-" + w.Run().ID}
		c.Items = append(c.Items, engine.Item{Target: path, Before: "absent", After: after, Note: note})
		c.Effects = append(c.Effects, engine.Effect{Created: &engine.Created{Fact: fact, Bytes: size}})
		c.UndoKept = append(c.UndoKept, f.Undone)
		r.Files = append(r.Files, f)
		if note != "" {
			r.Warnings = append(r.Warnings, path+": "+note)
		}
	}
	return c, c.SetData(r)
}

// existing is the snapshot that is at path already, nil where nothing is. It
// refuses to replace a file that doesn't verify.
func (a *save) existing(ctx context.Context, w engine.World) (*inspect.Info, error) {
	fact, err := w.Stat(ctx, a.Path)
	if err != nil {
		return nil, err
	}
	if !fact.Exists {
		return nil, hasParent(ctx, w, a.Path, "path")
	}
	info, err := inspectSource(ctx, w, a.Path)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		return nil, engine.Errorf(a.Path, "there is a file already, and it isn't a snapshot that verifies: %s", damaged.Reason).
			WithHint("Set path to another name, or move the file away.").WithAttribute("path")
	}
	return &info, err
}

// inspectSource inspects what will be at path.
func inspectSource(ctx context.Context, w engine.World, path string) (inspect.Info, error) {
	now, err := w.Source(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return inspect.Info{}, &inspect.Damaged{Reason: "there is no such file"}
	}
	if err != nil {
		return inspect.Info{}, err
	}
	info, err := inspect.Again(ctx, now)
	info.Path = path
	return info, err
}

// Apply implements engine.Action.
func (a *save) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var r saved
	if err := c.GetData(&r); err != nil {
		return nil, err
	}
	_, err := os.Lstat(a.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = a.fetch(ctx, r, rep)
	} else if err == nil { // an earlier call's, but is its name on disk?
		err = durable.SyncDir(filepath.Dir(a.Path))
	}
	if err != nil {
		return nil, err
	}
	info, err := watched(ctx, a.Path, rep)
	if err != nil {
		return nil, engine.Errorf(a.Path, "verifying the saved snapshot: %w", err).
			WithHint("Look at the disk that it is on, then save it elsewhere.").WithAttribute("path")
	}
	info.Warnings = append(info.Warnings, r.Warnings...)
	return snapshotResult(info), a.copyAll(ctx, r, rep)
}

// fetch writes the file under its temporary name and, once it verifies and is
// on disk, gives it its own. The endpoints are tried in their order.
func (a *save) fetch(ctx context.Context, r saved, rep engine.Reporter) error {
	conn := connection{endpoints: a.Endpoints, tls: a.TLS, timeout: time.Duration(a.Timeout) * time.Second}
	part := a.Path + partial
	var failures []error
	for _, endpoint := range a.Endpoints {
		err := conn.download(ctx, endpoint, part, r.room, rep)
		if err == nil {
			return a.accept(ctx, part, rep)
		}
		// Another endpoint helps neither against a disk without room nor against
		// one that fails.
		var full *noRoom
		var disk *fs.PathError
		if errors.As(err, &full) || errors.As(err, &disk) && disk.Path == part {
			return err
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return engine.Errorf(a.Path, "no endpoint gave a snapshot: %w", errors.Join(failures...)).
		WithHint("Start etcd, or, if it can't be started, copy its data directory's member/snap/db.").WithAttribute("endpoints")
}

func (a *save) accept(ctx context.Context, part string, rep engine.Reporter) error {
	info, err := watched(ctx, part, rep)
	if err == nil && info.Hash == "" {
		err = errors.New("it came without its SHA-256")
	}
	if err != nil {
		return engine.Errorf(part, "the snapshot that etcd sent can't be used: %w", err).
			WithHint("Try again with another endpoint: this member's data may be damaged.").WithAttribute("endpoints")
	}
	return durable.Rename(part, a.Path)
}

// download writes one endpoint's snapshot to the file part and syncs it. room
// fails where so many bytes don't fit.
func (c connection) download(ctx context.Context, endpoint, part string, room func(int64) error, rep engine.Reporter) error {
	cli, err := c.dial(endpoint)
	if err != nil {
		return err
	}
	defer cli.Close() // its error is the stream's, which is seen below
	probe, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	status, err := cli.Status(probe, endpoint)
	if err != nil {
		return engine.Errorf(endpoint, "asking for its status: %w", err)
	}
	if err := room(status.DbSize); err != nil {
		return err
	}
	resp, err := cli.SnapshotWithVersion(ctx)
	if err != nil {
		return engine.Errorf(endpoint, "asking for a snapshot: %w", err)
	}
	defer resp.Snapshot.Close() // read to its end, or abandoned
	return writeStream(part, &reportingReader{r: resp.Snapshot, rep: rep, doing: "receiving the snapshot from " + endpoint, total: status.DbSize})
}

// writeStream writes r to a new file at path, in place of one that an
// interrupted call left, and syncs it.
func writeStream(path string, r io.Reader) error {
	if err := durable.RemoveAll(path); err != nil {
		return err
	}
	f, err := durable.Open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return engine.Errorf(path, "writing the snapshot: %w", err)
	}
	return durable.SyncDir(filepath.Dir(path))
}

// reportingReader reports how much was read.
type reportingReader struct {
	r           io.Reader
	rep         engine.Reporter
	doing       string
	done, total int64
}

func (r *reportingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.done += int64(n)
	r.rep.Progress(engine.Progress{Doing: r.doing, Done: r.done, Total: r.total})
	return n, err
}

// Undo implements engine.Action. What was saved is moved aside, not deleted.
func (a *save) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var r saved
	if err := c.GetData(&r); err != nil {
		return err
	}
	for _, f := range r.Files {
		if err := durable.RemoveAll(f.Path + partial); err != nil {
			return err
		}
		if _, err := os.Lstat(f.Path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := setAside(f.Path, f.Undone); err != nil {
			return err
		}
	}
	return nil
}

// setAside gives what is at path the name to, or the first like it that is
// free: a step may be undone more than once in a run.
func setAside(path, to string) error {
	free := to
	for n := 2; ; n++ {
		err := durable.Rename(path, free)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		free = fmt.Sprintf("%s-%d", to, n)
	}
}
