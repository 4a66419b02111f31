package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

func TestAdvised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "such")
	full := &engine.Error{Where: path, Err: unix.ENOSPC}
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"full":          {full, []string{path + ": no space left", "The file system at", "free of", "Make room there, then try again."}},
		"with a hint":   {engine.Errorf(path, "%w", unix.EROFS).WithHint("Do it by hand."), []string{"is read-only", "dmesg", "Do it by hand."}},
		"of the system": {&os.PathError{Op: "write", Path: path, Err: unix.EIO}, []string{path + ": write: input/output error", "fails; dmesg"}},
		"named anew":    {&namedError{engine.Errorf("/proc/self/fd/3", "%w", unix.ENOSPC), path + ": no space"}, []string{path + ": no space", "free of"}},
		"of two":        {errors.Join(full, errors.New("and another")), []string{path + ": no space", "and another", "free of"}},
		"quota":         {&engine.Error{Where: path, Err: unix.EDQUOT}, []string{"The quota of user", "raise the quota"}},
		"files":         {&engine.Error{Where: path, Err: unix.EMFILE}, []string{"ulimit -n"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := Advised(c.err, "try again")
			text := err.Error() + "\n" + engine.HintOf(err)
			for _, part := range c.want {
				if !strings.Contains(text, part) {
					t.Errorf("%q is not in %q", part, text)
				}
			}
			if !errors.Is(err, errors.Unwrap(full)) && name == "full" {
				t.Error("the cause is lost")
			}
		})
	}
	other := engine.Errorf(path, "%w", unix.ENOENT)
	if err := Advised(other, "try again"); err != error(other) {
		t.Errorf("%v has become %v", other, err)
	}
}
