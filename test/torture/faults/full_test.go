package faults

import (
	"strings"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// A trouble is what happens to a disk during a run, and how it ends.
type trouble struct {
	name    string
	begin   func(d *disk)
	end     func(d *disk)
	says    string // what the error tells of the disk
	program string // what a program says that meets it
	inodes  int
	kinds   []string

	remounts bool // to end it takes the disk down
}

var troubles = []trouble{
	{name: "full", begin: (*disk).fill, end: (*disk).free, says: "free of", program: "no space left on device", kinds: []string{"ext4", "xfs"}},
	{name: "out of inodes", begin: (*disk).takeInodes, end: (*disk).free, says: "one more file", program: "no space left on device", inodes: 64, kinds: []string{"ext4"}},
	{name: "read-only", begin: (*disk).abort, end: (*disk).mend, says: "read-only", program: "read-only file system", kinds: []string{"ext4"}, remounts: true},
}

// The disk of the runs, or of what they work on, fills or turns read-only at
// each moment of a run. It stops with a word about that disk, and once there is
// room ends as if nothing had happened.
func TestDiskInTroubleDuringARun(t *testing.T) {
	for _, tr := range troubles {
		for _, kind := range tr.kinds {
			for _, at := range []string{"state", "data"} {
				t.Run(tr.name+" "+kind+" "+at, func(t *testing.T) {
					t.Parallel()
					tr.duringARun(t, kind, at)
				})
			}
		}
	}
}

func (tr trouble) duringARun(t *testing.T, kind, at string) {
	ref, _ := tr.place(t, kind, at)
	ref.want(program.Waits, runWork(ref)...)
	want := ref.outcome()
	for n := 1; !t.Failed(); n++ {
		if !tally.Full() && n%selection != selection/2 {
			continue
		}
		p, d := tr.place(t, kind, at)
		said, met := stoppedAt(t, n, func() { tr.begin(d) }, p.command, append([]string{p.binary}, runWork(p)...)...)
		if !met {
			break
		}
		tr.isClear(p, d, said)
		tr.end(d)
		if said.Code != program.Waits {
			runAgain(p)
		}
		if got := p.outcome(); got != want {
			t.Errorf("at the %d. sync or rename, it ends with\n%s\nwant\n%s\n%s", n, got, want, said)
		}
		tally.Count(t, "moments in a run at which a disk is "+tr.name+", resumed", 1)
		d.gone()
	}
}

// selection is of how many moments one is tried in a quick run.
const selection = 16

// place is one whose directory at is a disk of its own.
func (tr trouble) place(t *testing.T, kind, at string) (*place, *disk) {
	t.Helper()
	p := newPlace(t)
	d := newDisk(t, kind, p.at(at), map[string]int{"ext4": 8, "xfs": 320}[kind], tr.inodes)
	if at == "data" {
		sh(t, "echo old > "+p.at("data/config")+"; sync -f "+p.at("data"))
	}
	return p, d
}

// isClear checks what is said of a disk in trouble.
func (tr trouble) isClear(p *place, d *disk, s program.Ended) {
	p.Helper()
	begun := p.run() != nil && p.run().State.Phase.Open()
	switch {
	case s.Code == program.Waits:
		return
	case s.Code == program.Stopped && begun:
		contains(p.T, s.Stderr, "runbook resume "+p.id())
	case s.Code == program.Failed && !begun:
	default:
		p.Errorf("run begun: %v, %s", begun, s)
	}
	if !tr.told(d, s.Stderr) {
		p.Errorf("it doesn't say what is wrong with the disk at %s: %s", d.dir, s)
	}
}

// told reports whether an error says what is wrong with a disk: which one, and
// what there is left of it; or in the words of a program that was started.
func (tr trouble) told(d *disk, text string) bool {
	text = strings.Join(strings.Fields(text), " ")
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case has("Step start_etcd failed"): // etcd's own words, which name no place
		return strings.Contains(strings.ToLower(text), tr.program)
	case has("Step count failed"): // a shell's, to which every write that fails is an I/O error
		return strings.Contains(strings.ToLower(text), tr.program) || has("echo: I/O error")
	case has("Step healthy failed"): // it had started, and ended then
		return has("See the log of etcd at this endpoint")
	case !has(d.dir):
		return false
	case has("(" + d.kind + " on "):
		return has(tr.says) || has("fails; dmesg tells more")
	}
	return has("need") && has("are free")
}
