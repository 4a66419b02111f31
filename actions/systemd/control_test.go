package systemd

import "testing"

// A job may end while it is looked whether it is over, and the signal that tells how
// comes on another connection than the answer.
func TestResultThatComesWithTheLastLook(t *testing.T) {
	for _, result := range []string{"done", "failed"} {
		done := make(chan string, 1)
		over := func() bool { done <- result; return true }
		if got, ended := resultOf(t.Context(), done, over); got != result || !ended {
			t.Errorf("got %q, want %q", got, result)
		}
	}
}

// Where systemd re-executes itself, the signal is lost.
func TestResultThatNeverComes(t *testing.T) {
	if got, ended := resultOf(t.Context(), nil, func() bool { return true }); got != unheard || !ended {
		t.Errorf("got %q", got)
	}
}
