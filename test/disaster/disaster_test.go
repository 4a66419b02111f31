package disaster

import (
	"context"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// here runs commands on this machine.
type here struct{}

func (here) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	return cmd
}

// Somebody at a terminal of its size says yes to each question, and no more often.
func TestSession(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const asks = `stty size; for q in one two; do printf "Do $q? [yes/no] "; read a; echo "$a to $q on $TERM"; done; exit 3`
	var s Session
	for range 2 {
		if err := s.Types(ctx, here{}, 50, 24, asks); err != nil {
			t.Fatal(err)
		}
	}
	if s.Answers != 4 || s.Code != 3 || len(s.Commands) != 2 || s.Lines != 10 {
		t.Errorf("%d answers, exit code %d, %d commands, %d lines", s.Answers, s.Code, len(s.Commands), s.Lines)
	}
	for _, want := range []string{"24 50", "Do two? [yes/no] yes\nyes to two on xterm"} {
		if strings.Count(s.Screen, want) != 2 {
			t.Errorf("%q isn't shown twice:\n%s", want, s.Screen)
		}
	}
}

func outcome(d Disaster, screen string) *Outcome {
	return &Outcome{
		Disaster: &d, Session: Session{Commands: []string{"go"}, Screen: screen},
		ledger: &Ledger{entries: map[string]Entry{"a": {}, "b": {}}},
	}
}

// Everything that isn't as it should be is complained of, and nothing else.
func TestComplaints(t *testing.T) {
	log := Disaster{Cures: []string{"salvage"}, Loses: Nothing, Finds: []string{"wal_truncated"}}
	db := Disaster{Cures: []string{"restore"}, Loses: SinceBackup}
	hand := Disaster{Cures: []string{"none"}, Loses: Nothing, Blocked: &Blocked{Says: regexp.MustCompile("kill")}}
	for name, c := range map[string]struct {
		d      Disaster
		screen string
		change func(*Outcome)
		want   string // empty where all is well
	}{
		"well":          {log, "  cure = salvage\n", func(*Outcome) {}, ""},
		"other cure":    {log, "  cure = restore\n", func(*Outcome) {}, `the cure was "restore"`},
		"exit code":     {log, "  cure = salvage\n", func(o *Outcome) { o.Session.Code = 1 }, "exit code 1"},
		"not found":     {log, "  cure = salvage\n", func(o *Outcome) { o.Classes = nil }, "doesn't find wal_truncated"},
		"asks":          {log, "  cure = salvage\n", func(o *Outcome) { o.Session.Answers = 3 }, "3 answers"},
		"lost":          {log, "  cure = salvage\n", func(o *Outcome) { o.Lost = []Entry{{Key: "a", Since: true}} }, "lost"},
		"served twice":  {log, "  cure = salvage\n", func(o *Outcome) { o.Twice = []string{"revision 7 twice"} }, "revision 7"},
		"down":          {log, "  cure = salvage\n", func(o *Outcome) { o.Failure = context.DeadlineExceeded }, "doesn't serve"},
		"since":         {db, "  cure = restore\n", func(o *Outcome) { o.Lost = []Entry{{Key: "a", Since: true}} }, ""},
		"before":        {db, "  cure = restore\n", func(o *Outcome) { o.Lost = []Entry{{Key: "a"}} }, "lost"},
		"by hand":       {hand, "Nothing to do: well\n", func(o *Outcome) { o.Told = true }, ""},
		"says nothing":  {hand, "Nothing to do: well\n", func(*Outcome) {}, "doesn't say what to do"},
		"tells no cure": {log, "", func(*Outcome) {}, `the cure was "unknown"`},
	} {
		o := outcome(c.d, c.screen)
		o.Classes = []string{"wal_truncated"}
		c.change(o)
		got := o.Complaints()
		if c.want == "" && len(got) > 0 || c.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("%s: complaints %q, want %q", name, got, c.want)
		}
	}
}

func TestNormal(t *testing.T) {
	for _, c := range [][2]string{
		{"Run 20261126-005738-3b5j took 1m3.2s.", "Run ID took TIME."},
		{"3.1 MiB of 1,234 keys at revision 1000000051", "SIZE of N keys at revision N"},
		{"cp1 at 127.0.0.1:2379 of etcd 3.7.3", "cp1 at 127.0.0.1:2379 of etcd 3.7.3"},
	} {
		if got := Normal(c[0]); got != c[1] {
			t.Errorf("%q is %q, want %q", c[0], got, c[1])
		}
	}
}

// A row tells what somebody wants to know who has to choose.
func TestTable(t *testing.T) {
	var table Table
	o := outcome(Disaster{Name: "log-cut"}, "cure = restore\n")
	o.Lost, o.Took, o.Session.Answers = []Entry{{Since: true}}, 9700*time.Millisecond, 2
	table.Add(o)
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	row := strings.Join(strings.Fields(b.String()[strings.LastIndex(b.String(), "| log-cut"):]), " ")
	if want := "| log-cut | restore | since the backup: 1 of 2 keys | 10 | 1 | 2 | 0 |"; !strings.HasPrefix(row, want) {
		t.Errorf("%s\nwant %s", row, want)
	}
}
