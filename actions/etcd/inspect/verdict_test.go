package inspect

import (
	"context"
	"errors"
	"os/exec"
	"testing"
)

// A child that the kernel or an operator ended says nothing about the file.
func TestEndedFromOutsideIsNoDamage(t *testing.T) {
	for signal, damages := range map[string]bool{"KILL": false, "INT": false, "TERM": false, "SEGV": true, "BUS": true} {
		waitErr := exec.CommandContext(t.Context(), "sh", "-c", "kill -"+signal+" $$").Run()
		err := verdict(context.Background(), "/s.db", nil, waitErr, "")
		var crash *crashed
		if err == nil || errors.As(err, &crash) != damages {
			t.Errorf("SIG%s: %v", signal, err)
		}
	}
}
