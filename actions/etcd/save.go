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
}

var _ engine.Action = (*save)(nil)

func saveSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_snapshot_save",
		Doc: "Saves a snapshot of a running etcd and verifies it. " +
			"It gets its name only once it is complete, verified and on disk. Nothing is saved where a snapshot that verifies is there already.",
		Attributes: append(connectionAttributes(), engine.Attribute{
			Name: "path", Type: cty.String, Required: true, Check: checkAbsolute,
			Doc: "The file to write; its directory has to exist. While it is being written, its name ends in .part.",
		}),
		Results: snapshotResults(),
		Example: `step "etcd_snapshot_save" "backup" {
  endpoints = ["https://127.0.0.1:2379"]
  tls = {
    cert = "/etc/kubernetes/pki/etcd/server.crt"
    key  = "/etc/kubernetes/pki/etcd/server.key"
    ca   = "/etc/kubernetes/pki/etcd/ca.crt"
  }
  path = "/var/backups/etcd/backup-${run.id}.db"
}`,
		New: func() engine.Action { return &save{} },
	}
}

// saved is what the Change of a save records.
type saved struct {
	Path   string `json:"path"`
	Undone string `json:"undone"`
}

// Plan implements engine.Action. Whether etcd answers isn't asked: an earlier
// step may be what starts it.
func (a *save) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	fact, err := w.Stat(ctx, a.Path)
	if err != nil {
		return engine.Change{}, err
	}
	if fact.Exists {
		return a.existing(ctx, w)
	}
	if err := hasParent(ctx, w, a.Path, "path"); err != nil {
		return engine.Change{}, err
	}
	c := engine.Change{
		Items:   []engine.Item{{Target: a.Path, Before: "absent", After: "snapshot of " + strings.Join(a.Endpoints, ", ")}},
		Checks:  []string{"etcd answers at " + strings.Join(a.Endpoints, ", "), "the snapshot verifies"},
		Effects: []engine.Effect{{Created: &engine.Created{Fact: engine.PathFact{Path: a.Path, Exists: true, Type: engine.TypeFile, Mode: 0o600, Owner: "root", Group: "root"}}}},
		Results: engine.Result{"path": a.Path},
	}
	c.UndoKept = []string{a.Path + ".undone-" + w.Run().ID}
	return c, c.SetData(saved{Path: a.Path, Undone: c.UndoKept[0]})
}

// existing plans nothing where the file verifies, and refuses to replace one
// that doesn't.
func (a *save) existing(ctx context.Context, w engine.World) (engine.Change, error) {
	info, err := inspectSource(ctx, w, a.Path)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		return engine.Change{}, engine.Errorf(a.Path, "there is a file already, and it isn't a snapshot that verifies: %s", damaged.Reason).
			WithHint("Set path to another name, or move the file away.").WithAttribute("path")
	}
	if err != nil {
		return engine.Change{}, err
	}
	return engine.Change{Results: snapshotResult(info)}, nil
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
	_, err := os.Lstat(a.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = a.fetch(ctx, rep)
	}
	if err != nil {
		return nil, err
	}
	info, err := watched(ctx, a.Path, rep)
	if err != nil {
		return nil, engine.Errorf(a.Path, "verifying the saved snapshot: %w", err)
	}
	return snapshotResult(info), nil
}

// fetch writes the file under its temporary name and, once it verifies and is
// on disk, gives it its own. The endpoints are tried in their order.
func (a *save) fetch(ctx context.Context, rep engine.Reporter) error {
	conn := connection{endpoints: a.Endpoints, tls: a.TLS, timeout: time.Duration(a.Timeout) * time.Second}
	part := a.Path + ".part"
	var failures []error
	for _, endpoint := range a.Endpoints {
		err := conn.download(ctx, endpoint, part, rep)
		if err == nil {
			return a.accept(ctx, part, rep)
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

// download writes one endpoint's snapshot to the file part and syncs it.
func (c connection) download(ctx context.Context, endpoint, part string, rep engine.Reporter) error {
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
	resp, err := cli.SnapshotWithVersion(ctx)
	if err != nil {
		return engine.Errorf(endpoint, "asking for a snapshot: %w", err)
	}
	defer resp.Snapshot.Close() // read to its end, or abandoned
	return writeStream(part, &reportingReader{r: resp.Snapshot, rep: rep, from: endpoint, total: status.DbSize})
}

// writeStream writes r to a new file at path, in place of one that an
// interrupted call left, and syncs it.
func writeStream(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
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
	from        string
	done, total int64
}

func (r *reportingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.done += int64(n)
	r.rep.Progress(engine.Progress{Doing: "receiving the snapshot from " + r.from, Done: r.done, Total: r.total})
	return n, err
}

// Undo implements engine.Action. The snapshot is moved aside, not deleted.
func (a *save) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var s saved
	if err := c.GetData(&s); err != nil {
		return err
	}
	if err := durable.RemoveAll(s.Path + ".part"); err != nil {
		return err
	}
	if _, err := os.Lstat(s.Path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return setAside(s.Path, s.Undone)
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
