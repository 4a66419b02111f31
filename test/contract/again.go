package contract

import (
	"testing"

	"runbook/test/strace"
)

// straceFailed ends a try in which strace itself has failed, and not what it
// traced. Nothing that the try has found counts.
type straceFailed struct{ words string }

// giveUpWith ends the try where the output of a process tells of strace's end.
func giveUpWith(output string) {
	if words := strace.GaveUp(output); words != "" {
		panic(straceFailed{words})
	}
}

// tries is how often something is tried that strace fails at.
const tries = 3

// again calls try, and anew where strace fails at it. A try begins with a scene
// of its own.
func again(t *testing.T, try func()) {
	t.Helper()
	for n := 1; ; n++ {
		failed := attempt(try)
		if failed == "" {
			return
		}
		if n == tries {
			t.Fatalf("strace fails at this each time: %s", failed)
		}
		t.Logf("to be tried again: %s", failed)
	}
}

func attempt(try func()) (failed string) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case straceFailed:
			failed = p.words
		default:
			panic(p)
		}
	}()
	try()
	return ""
}
