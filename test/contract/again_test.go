package contract

import "testing"

func TestAgain(t *testing.T) {
	const words = "strace: ptrace(PTRACE_LISTEN,pid:4711,sig:0): Input/output error"
	done := 0
	again(t, func() {
		if done++; done < tries {
			giveUpWith("a line before it\n" + words + "\n")
		}
	})
	if done != tries {
		t.Errorf("tried %d times", done)
	}
	if failed := attempt(func() { giveUpWith(words) }); failed != words {
		t.Errorf("got %q", failed)
	}
	if failed := attempt(func() { giveUpWith("complaint: /x: input/output error") }); failed != "" {
		t.Errorf("got %q", failed)
	}
}
