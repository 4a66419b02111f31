package etcd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"runbook/engine"
)

// pruneDir holds four good snapshots, s0 the newest.
func pruneDir(t *testing.T) string {
	t.Helper()
	good, err := os.ReadFile(newFixture(t).snapshot)
	must(t, err)
	dir := t.TempDir()
	for i := range 4 {
		path := filepath.Join(dir, fmt.Sprintf("s%d.db", i))
		must(t, os.WriteFile(path, good, 0o600))
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-time.Duration(i)*time.Hour)))
	}
	return dir
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// What has changed since the plan stays.
func TestPruneLeavesWhatHasChanged(t *testing.T) {
	dir := pruneDir(t)
	req := request(t, "etcd_snapshot_prune", attrs{"directory": dir, "keep_last": 1})
	c := plan(t, req)
	must(t, os.Chtimes(filepath.Join(dir, "s2.db"), time.Time{}, time.Now()))
	res := apply(t, req, c)
	if got := names(t, dir); !slices.Equal(got, []string{"s0.db", "s2.db"}) {
		t.Errorf("left %v", got)
	}
	if got := res["changed"].([]string); !slices.Equal(got, []string{filepath.Join(dir, "s2.db")}) {
		t.Errorf("changed %v", got)
	}
}

// Without the snapshot that was to stay, none is deleted.
func TestPruneNeedsTheNewest(t *testing.T) {
	dir := pruneDir(t)
	req := request(t, "etcd_snapshot_prune", attrs{"directory": dir, "keep_last": 1})
	c := plan(t, req)
	must(t, os.Remove(filepath.Join(dir, "s0.db")))
	if _, err := testHost.Apply(t.Context(), req, c, quiet{}); err == nil || !strings.Contains(err.Error(), "nothing is deleted") || engine.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if got := names(t, dir); len(got) != 3 {
		t.Errorf("left %v", got)
	}
}

// The snapshot that an earlier step will save counts as the newest one.
func TestPruneCountsWhatWillBeSaved(t *testing.T) {
	dir := pruneDir(t)
	req := request(t, "etcd_snapshot_prune", attrs{"directory": dir, "keep_last": 2})
	req.Run.Started = time.Now().Add(time.Minute)
	req.Effects = []engine.Effect{{Step: "save", Created: &engine.Created{
		Fact: engine.PathFact{Path: filepath.Join(dir, "new.db"), Exists: true, Type: engine.TypeFile}}}}
	c := plan(t, req)
	if len(c.Items) != 3 || c.Items[0].Target != filepath.Join(dir, "s1.db") || c.Irreversible == "" {
		t.Errorf("planned %+v", c.Items)
	}
	if _, err := testHost.Apply(t.Context(), req, c, quiet{}); err == nil || len(names(t, dir)) != 4 {
		t.Errorf("deleted before the new one was there: %v", err)
	}
}
