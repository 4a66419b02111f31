package actions_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"runbook/engine"
)

// reloadable runs a unit whose reload is counted, does as it is told first, and fails
// as long as a file `wrong` is there.
func reloadable(t *testing.T, first string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "wrong"), nil, 0o600))
	must(t, os.WriteFile("/etc/systemd/system/"+unitName, []byte(
		"[Service]\nType=exec\nExecStart=/bin/sleep infinity\n"+
			"ExecReload=/bin/sh -c 'cd "+dir+"; echo reload >>reloads; "+first+"; test ! -e wrong'\n"), 0o644))
	systemctl(t, "daemon-reload")
	systemctl(t, "restart", unitName)
	t.Cleanup(func() { systemctl(t, "stop", unitName) })
	return dir
}

func reloadsIn(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "reloads"))
	must(t, err)
	return strings.Count(string(text), "reload")
}

// After a reload that failed, a unit is up and its state is a new one, as after one
// that succeeded. It has its old configuration all the same, so it is reloaded again.
func TestFailedReloadIsMadeAgain(t *testing.T) {
	dir := reloadable(t, "true")
	a, c := unitAction(t, "reloaded")
	for n := 1; n <= 2; n++ {
		_, err := a.Apply(t.Context(), c, silent{})
		if err == nil || !strings.Contains(err.Error(), `the reload ended with "failed"`) {
			t.Errorf("reload %d fails, and the step says %v", n, err)
		}
	}
	must(t, os.Remove(filepath.Join(dir, "wrong")))
	for range 2 {
		if _, err := a.Apply(t.Context(), c, silent{}); err != nil {
			t.Error(err)
		}
	}
	if n := reloadsIn(t, dir); n != 3 {
		t.Errorf("reloaded %d times, want 3", n)
	}
}

func isReloading(t *testing.T) bool {
	t.Helper()
	out, err := exec.Command("systemctl", "show", "-p", "ActiveState", unitName).Output()
	must(t, err)
	return strings.TrimSpace(string(out)) == "ActiveState=reloading"
}

// once calls itself with the first progress.
type once func()

func (f *once) Progress(engine.Progress) {
	if *f != nil {
		(*f)()
		*f = nil
	}
}

// A reload that an earlier call has left behind is waited for, and its failure is
// the step's.
func TestFailureOfAReloadLeftBehind(t *testing.T) {
	dir := reloadable(t, "until test -e go; do sleep 0.02; done")
	a, c := unitAction(t, "reloaded")
	systemctl(t, "reload", "--no-block", unitName)
	for !isReloading(t) && t.Context().Err() == nil {
		continue // each look takes systemctl a while
	}
	letGo := once(func() { must(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600)) })
	_, err := a.Apply(t.Context(), c, &letGo)
	if err == nil || !strings.Contains(err.Error(), "the reload ended with") {
		t.Errorf("the step says %v", err)
	}
	if n := reloadsIn(t, dir); n != 1 {
		t.Errorf("reloaded %d times, want once", n)
	}
}
