package systemd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// linesTold is how many of a unit's lines an error tells.
const linesTold = 5

// lastWords are the last lines of the unit's processes, which say why they ended;
// what systemd says of them would push them out. They are those of the last start
// that failed since a time: by now systemd may be at the next. Where they said
// nothing, it is systemd's lines. All this only adds to an error, so where there
// is no journal it is empty.
func lastWords(u state, since time.Time) string {
	ctx := context.Background() // of a run that is told to stop too
	journal(ctx, "--sync")
	var said [][]byte
	for _, e := range untilFailure(entries(ctx, u.Name, since), u.InvocationID) {
		said = append(said, message(e.Message))
	}
	if own := legible(bytes.Join(said[max(0, len(said)-linesTold):], []byte("\n"))); own != "" {
		return own
	}
	return lastLines(ctx, u.Name)
}

// failedWithResult is the ID of systemd's message that a unit has failed
// (SD_MESSAGE_UNIT_FAILURE_RESULT in sd-messages.h).
const failedWithResult = "d9b373ed55a64feb8242e02dbe79a49c"

// An entry of the journal is what a unit's process says, or that the unit failed.
type entry struct {
	Message   json.RawMessage `json:"MESSAGE"`
	MessageID string          `json:"MESSAGE_ID"`
	Speaker   string          `json:"_SYSTEMD_INVOCATION_ID"`
	Failed    string          `json:"INVOCATION_ID"`
}

func entries(ctx context.Context, unit string, since time.Time) []entry {
	out := journal(ctx, fmt.Sprintf("--since=@%d", since.Unix()), "-n", "500", "-a", "-o", "json",
		"--output-fields=MESSAGE,MESSAGE_ID,_SYSTEMD_INVOCATION_ID,INVOCATION_ID",
		"_SYSTEMD_UNIT="+unit, "+", "UNIT="+unit, "MESSAGE_ID="+failedWithResult)
	var all []entry
	for line := range bytes.Lines(out) {
		var e entry
		if json.Unmarshal(line, &e) == nil {
			all = append(all, e)
		}
	}
	return all
}

// untilFailure leaves what was said by the invocation that failed last, or else by
// the one given. The journal looks up which invocation a process is of when it gets
// to what the process said: for one that has ended by then it finds none, or the
// next. So what stands before the failure counts whoever is said to have said it.
func untilFailure(all []entry, invocation string) []entry {
	failure := -1
	for i, e := range all {
		if e.MessageID == failedWithResult {
			failure, invocation = i, e.Failed
		}
	}
	var said []entry
	for i, e := range all {
		if e.MessageID != failedWithResult && (i < failure || e.Speaker == "" || e.Speaker == invocation) {
			said = append(said, e)
		}
	}
	return said
}

// message is an entry's text, which is written as a list of bytes where it isn't
// printable UTF-8.
func message(raw json.RawMessage) []byte {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []byte(text)
	}
	var list []byte
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// lastLines are the last lines of a unit's log.
func lastLines(ctx context.Context, unit string) string {
	return legible(journal(ctx, "-u", unit, "-n", strconv.Itoa(linesTold), "-o", "cat"))
}

func legible(out []byte) string {
	return strings.TrimSpace(string(bytes.ToValidUTF8(out, []byte("?"))))
}

func journal(ctx context.Context, which ...string) []byte {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "journalctl", append(which, "-q", "--no-pager")...).Output()
	if err != nil {
		return nil
	}
	return out
}
