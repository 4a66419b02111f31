package strace

import "testing"

func TestGaveUp(t *testing.T) {
	const words = "strace: ptrace(PTRACE_LISTEN,pid:4711,sig:0): Input/output error"
	if got := GaveUp("something else\n" + words + "\n"); got != words {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{
		"", "complaint: /x: write: input/output error", "strace: exec: Input/output error",
		"/x: strace: ptrace(PTRACE_LISTEN,pid:4711,sig:0): Input/output error",
	} {
		if got := GaveUp(text); got != "" {
			t.Errorf("%q: got %q", text, got)
		}
	}
}
