package environment

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

const twoMoves = `
step "move" "one" {
  from = "DIR/a"
  to   = "DIR/b"
}
step "wait_for" "gate" {
  path            = "DIR/gate"
  timeout_seconds = 1
}
step "move" "two" {
  from = "DIR/b"
  to   = "DIR/c"
}
`

// A run begins in one time zone and goes on in others, where it is another day:
// it knows what was done, and when.
func TestTimeZoneChanges(t *testing.T) {
	s := newScene(t, twoMoves)
	must(t, os.WriteFile(filepath.Join(s.dir, "a"), nil, 0o600))
	in := func(zone string, code int, args ...string) program.Ended {
		t.Helper()
		cmd := s.command(args...)
		cmd.Env = append(cmd.Env, "TZ="+zone)
		return s.finish(code, cmd)
	}
	began := time.Now()
	in("Pacific/Kiritimati", program.Stopped, "run", s.book, "--yes")
	in("Pacific/Niue", program.Stopped, "resume")
	must(t, os.WriteFile(filepath.Join(s.dir, "gate"), nil, 0o600))
	in("Asia/Kathmandu", program.Done, "resume")
	var shown struct {
		Run struct {
			Started time.Time `json:"started"`
			Updated time.Time `json:"updated"`
			Done    int       `json:"steps_done"`
		} `json:"run"`
	}
	out := in("America/St_Johns", program.Done, "show", "--json").Stdout
	must(t, json.Unmarshal([]byte(out), &shown))
	if s, e := shown.Run.Started, shown.Run.Updated; s.Before(began.Add(-time.Second)) || e.Before(s) || e.After(time.Now()) || shown.Run.Done != 3 {
		t.Errorf("it ran from %v to %v, and not since %v:\n%s", s, e, began, out)
	}
	tally.Count(t, "runs that went through four time zones", 1)
}
