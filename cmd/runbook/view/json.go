package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// FormatVersion is the version of what JSON writes, as docs/json.md describes
// it. Additions raise the second number; whatever may break a reader, the first.
const FormatVersion = "1.0"

// JSON writes for programs, on out and nowhere else: one document for a command
// that looks, one event a line for a command that changes the host.
type JSON struct {
	mu       sync.Mutex // of out, doc and progress
	out, err io.Writer
	doc      document
	lines    bool
	progress time.Time // of the last progress that was written
	now      func() time.Time
}

// document is what a command that looks has to say.
type document struct {
	FormatVersion string       `json:"format_version"`
	Kind          string       `json:"kind"`
	Valid         *bool        `json:"valid,omitempty"`
	Runbook       *jsonRunbook `json:"runbook,omitempty"`
	Runbooks      []jsonBook   `json:"runbooks,omitzero"`
	Plan          *jsonPlan    `json:"plan,omitempty"`
	Runs          []jsonListed `json:"runs,omitzero"`
	Run           *jsonRun     `json:"run,omitempty"`
	Drill         *jsonDrill   `json:"drill,omitempty"`
	Type          string       `json:"type,omitempty"`
	Result        any          `json:"result,omitempty"`
	Notes         []string     `json:"notes,omitempty"`
	Diagnostics   []diagnostic `json:"diagnostics"`
}

// NewDocument returns a view that writes one document of that kind when it is
// closed.
func NewDocument(kind string, out, err io.Writer) *JSON {
	doc := document{FormatVersion: FormatVersion, Kind: kind, Diagnostics: []diagnostic{}}
	if kind == "validate" {
		doc.Valid = new(bool)
	}
	return &JSON{out: out, err: err, doc: doc, now: time.Now}
}

// NewEvents returns a view that writes one event a line.
func NewEvents(out, err io.Writer) *JSON {
	return &JSON{out: out, err: err, lines: true, now: time.Now}
}

// Valid says that a runbook has no mistakes.
func (j *JSON) Valid(book *lang.Runbook) {
	*j.doc.Valid = true
	j.doc.Runbook = runbookJSON(book)
}

// Books lists runbooks.
func (j *JSON) Books(all []Book) {
	j.doc.Runbooks = make([]jsonBook, len(all))
	for i, b := range all {
		j.doc.Runbooks[i] = jsonBook{File: b.File, Name: b.Name, Description: b.Description, Drill: b.Drill}
	}
}

// Book tells of a runbook.
func (j *JSON) Book(b Book) { j.doc.Runbook = runbookJSON(b.Runbook) }

// Plan shows a plan.
func (j *JSON) Plan(p *run.Plan, e run.Estimate) {
	if j.lines {
		j.emit("plan", body{"plan": planJSON(p, e)})
		return
	}
	j.doc.Plan = planJSON(p, e)
}

// List shows all runs: a program passes over what it doesn't want.
func (j *JSON) List(runs []run.Summary, _ bool) {
	j.doc.Runs = make([]jsonListed, len(runs))
	for i, r := range runs {
		j.doc.Runs[i] = listedJSON(r)
	}
}

// Show shows one run.
func (j *JSON) Show(s *run.State, busy bool, log []run.LogEntry) { j.doc.Run = runJSON(s, busy, log) }

// Read shows what a data source says.
func (j *JSON) Read(s engine.DataSpec, r engine.Result) {
	j.doc.Type, j.doc.Result = s.Name, r
}

// Changed shows how a runbook has changed since its run began.
func (j *JSON) Changed(diff, what string) {
	j.emit("runbook_changed", body{"diff": diff, "message": what})
}

// Verbose changes nothing: all is there.
func (j *JSON) Verbose() {}

// Recall has nothing to say: nobody is asked.
func (j *JSON) Recall(*run.Plan) {}

// Asks says that nobody can be asked: a program says --yes beforehand.
func (j *JSON) Asks() bool { return false }

// Ask is not called.
func (j *JSON) Ask(string) {}

// Note tells something beside the result.
func (j *JSON) Note(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	switch {
	case text == "":
	case j.lines:
		j.emit("note", body{"message": text})
	default:
		j.doc.Notes = append(j.doc.Notes, text)
	}
}

// Error adds the diagnostics of err.
func (j *JSON) Error(err error) {
	for _, d := range diagnosticsOf(err) {
		if j.lines {
			j.emit("diagnostic", body{"diagnostic": d})
			continue
		}
		j.doc.Diagnostics = append(j.doc.Diagnostics, d)
	}
}

// Stopped says that a run stopped early.
func (j *JSON) Stopped(id string, phase run.Phase, s *run.State) {
	if s != nil && s.Waiting != nil {
		return // which an event has said
	}
	j.emit("stopped", body{"run": id, "phase": word(phase)})
}

// Logs are no part of the output.
func (j *JSON) Logs() io.Writer { return j.err }

// Close writes the document. As with lines for people, output that nobody reads
// is no error.
func (j *JSON) Close() {
	if !j.lines {
		_, _ = j.out.Write(encode(j.doc, "  "))
	}
}

// body holds the fields of one type of event.
type body map[string]any

// emit writes an event on a line of its own. Its type comes first, for those who
// read along.
func (j *JSON) emit(typ string, f body) {
	head := encode(struct {
		FormatVersion string    `json:"format_version"`
		Time          time.Time `json:"time"`
		Type          string    `json:"type"`
	}{FormatVersion, j.now().UTC(), typ}, "")
	text := bytes.TrimSuffix(head, []byte("}\n"))
	if len(f) > 0 {
		text = append(append(text, ','), encode(f, "")[1:]...)
	} else {
		text = head
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.out.Write(text)
}

// encode returns v as JSON that people can read too: "<" stays "<".
func encode(v any, indent string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil { // only for types that JSON doesn't have, which none of ours is
		panic(err)
	}
	return escapeObeyed(b.Bytes())
}

// escapeObeyed escapes what JSON leaves as it is and a terminal obeys: who looks
// at the output there should come to no harm. It can only be part of a string.
func escapeObeyed(text []byte) []byte {
	if !bytes.ContainsFunc(text, escapable) {
		return text
	}
	var out bytes.Buffer
	for _, r := range string(text) {
		if escapable(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.Bytes()
}

func escapable(r rune) bool { return r != '\n' && obeyed(r) }
