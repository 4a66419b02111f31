package diagnose

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

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

// crashingChild plays a child that a file brings down: it is what the binary
// does where the variable is set.
func crashingChild(args []string) bool {
	if os.Getenv("DIAGNOSE_TEST_CRASH") == "" || len(args) == 0 || args[0] != childArgument {
		return false
	}
	panic("page 7 is a trap")
}
