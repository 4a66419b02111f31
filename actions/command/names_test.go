package command

import (
	"testing"

	"runbook/engine"
)

// named is the host as a step of a certain name sees it.
type named struct {
	world
	step string
}

func (n named) Run() engine.RunInfo {
	run := n.world.Run()
	run.Step = n.step
	return run
}

// What a step has run is no reason not to run another one, however like the two
// names are: what differs may be in the environment alone.
func TestNoStepHasTheRecordsOfAnother(t *testing.T) {
	s := planned(t, "echo $WHO >>ran", nil)
	want := ""
	for _, name := range []string{"db/flush", "db_flush", `each["/a"]`, `each["_a"]`} {
		s.Command.Environment = map[string]string{"WHO": name}
		change, err := s.Command.Plan(t.Context(), named{step: name})
		if err != nil {
			t.Fatal(err)
		}
		s.Change = change
		s.apply(t)
		want += name + "\n"
	}
	if got := s.read(t, "ran"); got != want {
		t.Errorf("these were run:\n%swant:\n%s", got, want)
	}
}
