package etcd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"runbook/engine"
)

// TestRestorePredicted plans under what earlier steps will have done.
func TestRestorePredicted(t *testing.T) {
	f := newFixture(t)
	away := f.data + ".away"
	req := request(t, "etcd_snapshot_restore", f.attrs())
	req.Effects = []engine.Effect{{Moved: &engine.Moved{From: f.data, To: away}, Step: "away"}}
	c := plan(t, req)
	if c.Items[0].Before != "absent" || len(c.Kept) != 0 {
		t.Errorf("with the old data moved away: %+v", c.Items)
	}

	a := f.attrs()
	a["snapshot"] = filepath.Join(away, "member", "snap", "db")
	salvage := request(t, "etcd_snapshot_restore", a)
	salvage.Effects = req.Effects
	if c := plan(t, salvage); fmt.Sprint(c.Results["keys"]) != "29" {
		t.Errorf("from a database that will have moved: %+v", c.Results)
	}

	req.Effects = []engine.Effect{{Created: &engine.Created{Fact: engine.PathFact{Path: f.snapshot, Exists: true, Type: engine.TypeFile}}, Step: "backup"}}
	var unknown *engine.UnknownError
	if _, err := testHost.Plan(t.Context(), req); !errors.As(err, &unknown) || unknown.Step != "backup" {
		t.Errorf("from a snapshot that isn't there yet: %v", err)
	}

	next := engine.StepRequest{Run: req.Run, Action: req.Action, Config: req.Config, Effects: c.Effects}
	if got, err := testHost.Stat(t.Context(), f.data, false, next.Effects); err != nil || !got.Exists || got.Mode != 0o700 {
		t.Errorf("the step after sees %+v %v", got, err)
	}
}

// TestRestoreNotEnoughRoom counts what the effects before take.
func TestRestoreNotEnoughRoom(t *testing.T) {
	f := newFixture(t)
	req := request(t, "etcd_snapshot_restore", f.attrs())
	req.Effects = []engine.Effect{{Created: &engine.Created{Fact: engine.PathFact{Path: "/big"}, Bytes: 1 << 60}}}
	_, err := testHost.Plan(t.Context(), req)
	var e *engine.Error
	if !errors.As(err, &e) || e.Attribute != "data_dir" {
		t.Errorf("got %v", err)
	}
}

// TestRestoreLink restores what a symbolic link points to.
func TestRestoreLink(t *testing.T) {
	f := newFixture(t)
	link := filepath.Join(f.dir, "link")
	must(t, os.Symlink("etcd", link))
	a := f.attrs()
	a["data_dir"] = link
	req := request(t, "etcd_snapshot_restore", a)
	c := plan(t, req)
	if res := apply(t, req, c); res["data_dir"] != f.data {
		t.Errorf("restored %v", res)
	}
	if target, err := os.Readlink(link); err != nil || target != "etcd" {
		t.Errorf("the link is %q %v", target, err)
	}
}
