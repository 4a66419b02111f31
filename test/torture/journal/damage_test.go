package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/run"
	"runbook/test/torture/tally"
)

// sound is the journal of a run that has seen all: approvals, failures, a step
// that was skipped, a rollback that failed and went on.
type sound struct {
	*scene
	text    []byte
	lines   []string
	records []journal.Record
	states  map[int]bool // of how many records the state was found right
}

func newSound(t *testing.T) *sound {
	t.Helper()
	s := newScene(t)
	s.upToTheLastApproval()
	s.halfRolledBack()
	s.rolledBack()
	j := &sound{scene: s, states: map[int]bool{}}
	var err error
	j.text, err = os.ReadFile(s.path())
	s.must(err)
	j.lines = strings.SplitAfter(strings.TrimSuffix(string(j.text), "\n"), "\n")
	j.lines[len(j.lines)-1] += "\n"
	j.records, err = journal.All(filepath.Dir(s.path()))
	s.must(err)
	if len(j.records) < 60 || len(j.records) != len(j.lines) {
		t.Fatalf("%d records in %d lines: that is no journal of everything", len(j.records), len(j.lines))
	}
	return j
}

// lineOf is the number of the line, from 1 on, that a byte is in.
func (j *sound) lineOf(at int) int { return bytes.Count(j.text[:at], []byte("\n")) + 1 }

// put puts another content in the place of the journal.
func (j *sound) put(text []byte) {
	j.Helper()
	j.must(os.WriteFile(j.path(), text, 0o600))
}

// refused fails unless the store refuses the journal, says at which line, and
// what to do. Line 0 is any.
func (j *sound) refused(what string, line int) {
	j.Helper()
	sum, err := j.store().Look(j.id)
	j.saysWhere(what, line, err)
	if sum.State != nil {
		j.Fatalf("%s: there is a state beside the error", what)
	}
}

var place = regexp.MustCompile(`journal\.jsonl:(\d+) \(byte \d+\)`)

func (j *sound) saysWhere(what string, line int, err error) {
	j.Helper()
	if err == nil {
		j.Fatalf("%s: nobody notices", what)
	}
	if engine.HintOf(err) == "" || !strings.Contains(err.Error(), journal.FileName) {
		j.Fatalf("%s: the error says nothing of where or what to do: %v", what, err)
	}
	m := place.FindStringSubmatch(err.Error())
	if line > 0 && (m == nil || m[1] != strconv.Itoa(line)) {
		j.Fatalf("%s, in line %d: %v", what, line, err)
	}
}

// isPrefix fails unless the store reads the first n records and nothing else.
func (j *sound) isPrefix(what string, n int) {
	j.Helper()
	got, err := journal.All(filepath.Dir(j.path()))
	if err != nil || !same(got, j.records[:n]) {
		j.Fatalf("%s: %d records, want the first %d; %v", what, len(got), n, err)
	}
	if n == 0 {
		j.refused(what, 0)
		return
	}
	if j.states[n] {
		return
	}
	j.states[n] = true
	want, err := run.Replay(j.records[:n])
	j.must(err)
	state, err := j.store().Load(j.id)
	if err != nil || stateText(j, state) != stateText(j, want) {
		j.Fatalf("%s: another state than that of the first %d records; %v", what, n, err)
	}
}

func same(a, b []journal.Record) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Seq != b[i].Seq || a[i].Kind != b[i].Kind || !bytes.Equal(a[i].Data, b[i].Data) || !a[i].Time.Equal(b[i].Time) {
			return false
		}
	}
	return true
}

// stateText is all that can be seen of a state.
func stateText(j *sound, s *run.State) string {
	j.Helper()
	text, err := json.Marshal(s)
	j.must(err)
	var doubt []string
	for name, st := range s.Steps {
		if st.InDoubt() {
			doubt = append(doubt, name)
		}
	}
	slices.Sort(doubt)
	return fmt.Sprintf("%s; in doubt: %v", text, doubt)
}

// A byte that is another one is found, wherever it is.
func TestEveryByteFlipped(t *testing.T) {
	j := newSound(t)
	f, err := os.OpenFile(j.path(), os.O_RDWR, 0)
	j.must(err)
	defer f.Close()
	tried := 0
	for at, was := range j.text {
		if !tally.Takes(strconv.Itoa(at), 40) {
			continue
		}
		for _, now := range flips(was) {
			_, err := f.WriteAt([]byte{now}, int64(at))
			j.must(err)
			j.flipped(at, now)
			tried++
		}
		_, err := f.WriteAt([]byte{was}, int64(at))
		j.must(err)
	}
	j.isPrefix("put right again", len(j.records))
	tally.Count(t, "bytes of a journal changed, each to other values", tried)
}

// flips are a byte with one bit changed, each of them, all of them, and none
// set.
func flips(was byte) []byte {
	all := []byte{}
	for bit := range 8 {
		all = append(all, was^1<<bit)
	}
	for _, b := range []byte{0, 0xff, ^was} {
		if b != was && !bytes.Contains(all, []byte{b}) {
			all = append(all, b)
		}
	}
	return all
}

// flipped looks at a journal of which one byte is another. A zero that is all
// that the last record has of a sector may be what a power cut left.
func (j *sound) flipped(at int, now byte) {
	j.Helper()
	what := fmt.Sprintf("byte %d is %#x", at, now)
	if now == 0 && at == len(j.text)-1 && at%512 == 0 {
		j.isPrefix(what, len(j.records)-1)
		return
	}
	j.refused(what, j.lineOf(at))
}

func TestEveryLength(t *testing.T) {
	j := newSound(t)
	tried := 0
	for size := len(j.text); size >= 0; size-- {
		if !tally.Takes(strconv.Itoa(size), 60) {
			continue
		}
		j.must(os.Truncate(j.path(), int64(size)))
		j.isPrefix(fmt.Sprintf("%d bytes", size), bytes.Count(j.text[:size], []byte("\n")))
		tried++
		if !tally.Full() { // the lengths in between were cut off
			j.put(j.text)
		}
	}
	tally.Count(t, "lengths that a journal was cut to", tried)
}

// Records that are moved, left out, doubled, or come from another run.
func TestEveryRecordElsewhere(t *testing.T) {
	j := newSound(t)
	other := newScene(t)
	other.upToTheLastApproval()
	foreign, err := os.ReadFile(other.path())
	j.must(err)
	strangers := strings.SplitAfter(string(foreign), "\n")
	tried := 0
	try := func(name string, lines []string, line int) {
		t.Helper()
		if !tally.Takes(name, 20) {
			return
		}
		j.put([]byte(strings.Join(lines, "")))
		j.refused(name, line)
		tried++
	}
	n := len(j.lines)
	for a := range n {
		for b := a + 1; b < n; b++ {
			swapped := slices.Clone(j.lines)
			swapped[a], swapped[b] = swapped[b], swapped[a]
			try(fmt.Sprintf("records %d and %d swapped", a+1, b+1), swapped, a+1)
			try(fmt.Sprintf("records %d to %d left out", a+1, b), replaced(j.lines, a, b-a), a+1)
			try(fmt.Sprintf("record %d again behind %d", a+1, b+1), replaced(j.lines, b+1, 0, j.lines[a]), b+2)
		}
		try(fmt.Sprintf("record %d doubled", a+1), replaced(j.lines, a+1, 0, j.lines[a]), a+2)
		for s, stranger := range strangers[:len(strangers)-1] {
			line := a + 1
			if a == 0 && s == 0 {
				line = 2 // a journal may begin so
			}
			try(fmt.Sprintf("record %d of another run in front of %d", s+1, a+1), replaced(j.lines, a, 0, stranger), line)
			try(fmt.Sprintf("record %d of another run instead of %d", s+1, a+1), replaced(j.lines, a, 1, stranger), line)
		}
		try(fmt.Sprintf("an empty line in front of %d", a+1), replaced(j.lines, a, 0, "\n"), a+1)
	}
	j.put(foreign)
	j.refused("the journal of another run", 0)
	tally.Count(t, "journals with records moved, left out, doubled or of another run", tried+1)
}

// replaced is lines with others in the place of count of them.
func replaced(lines []string, at, count int, with ...string) []string {
	return slices.Concat(lines[:at], with, lines[at+count:])
}
