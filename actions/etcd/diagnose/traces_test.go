package diagnose

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/actions/etcd/unseen"
)

// digest and names look without leaving traces themselves.
func digest(t testing.TB, path string) string {
	t.Helper()
	f, err := unseen.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	must(t, err)
	return fmt.Sprintf("%x", h.Sum(nil))
}

func names(t testing.TB, path string) []string {
	t.Helper()
	entries, err := unseen.ReadDir(path)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// firstDifference is the first line in which two texts differ, both times.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return "one is longer"
}

// killedReader is the name of a file beside another one, whose reader is killed
// as the kernel does it for want of memory.
const killedReader = "reader-is-killed"

// crashingChild plays a child that a file brings down: it is what the binary
// does where the variable is set. A child with killedReader is killed.
func crashingChild(args []string) bool {
	if len(args) != 3 || args[0] != childArgument {
		return false
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(args[2]), killedReader)); err == nil {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL) // nobody is left to be told
	}
	if os.Getenv("DIAGNOSE_TEST_CRASH") == "" {
		return false
	}
	panic("page 7 is a trap")
}
