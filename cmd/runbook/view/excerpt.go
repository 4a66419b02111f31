package view

import (
	"bytes"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// How much of a file a diagnostic shows: a file may have one line of megabytes,
// and a mistake may begin on one line and end on the last.
const (
	mostLines  = 12
	mostBefore = 150 // bytes of a line before what is wrong, and behind it
	mostWrong  = 300
)

// excerpt is a file of which only the lines are left that d is about, as they
// may be shown, and d for that file. Its writer goes through the whole file to
// find them, and shows them however long they are.
func excerpt(f *hcl.File, d *hcl.Diagnostic) (*hcl.File, *hcl.Diagnostic) {
	shown := *d
	if d.Subject == nil {
		return f, &shown
	}
	name := oneWord(d.Subject.Filename)
	if f == nil || f.Bytes == nil || !d.Subject.CanSliceBytes(f.Bytes) {
		shown.Subject, shown.Context = &hcl.Range{Filename: name, Start: d.Subject.Start, End: d.Subject.End}, nil
		return nil, &shown
	}
	whole := *d.Subject
	if c := d.Context; c != nil && c.CanSliceBytes(f.Bytes) && c.Start.Byte <= whole.Start.Byte {
		whole.Start, whole.End.Byte = c.Start, max(whole.End.Byte, c.End.Byte)
	}
	e := excerpter{wrong: *d.Subject, out: bytes.Repeat([]byte{'\n'}, whole.Start.Line-1)}
	begin := e.lines(f.Bytes, whole)
	shown.Subject = &hcl.Range{Filename: name, Start: hcl.Pos{Line: d.Subject.Start.Line, Byte: e.from}, End: hcl.Pos{Line: d.Subject.End.Line, Byte: max(e.from, e.to)}}
	shown.Context = &hcl.Range{Filename: name, Start: hcl.Pos{Byte: begin}, End: hcl.Pos{Byte: max(begin, len(e.out)-1)}}
	return &hcl.File{Bytes: e.out, Nav: block{f.Nav, d.Subject.Start.Byte}}, &shown
}

// block tells what the file tells of the place that an excerpt is of.
type block struct {
	nav any
	at  int
}

// ContextString names the block at that place.
func (b block) ContextString(int) string {
	if nav, ok := b.nav.(interface{ ContextString(int) string }); ok {
		return cutRight([]byte(oneWord(nav.ContextString(b.at))), mostBefore)
	}
	return ""
}

type excerpter struct {
	wrong    hcl.Range
	out      []byte
	from, to int // of what is wrong, in out
}

// lines writes the lines of a range and returns where they begin in out.
func (e *excerpter) lines(text []byte, r hcl.Range) (begin int) {
	begin = len(e.out)
	at := bytes.LastIndexByte(text[:r.Start.Byte], '\n') + 1
	for n := 0; n < mostLines && (n == 0 || at < r.End.Byte) && at <= len(text); n++ {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i
		}
		e.line(text[at:end], at)
		at = end + 1
	}
	return begin
}

// line writes a line that stands at a place in its file.
func (e *excerpter) line(line []byte, at int) {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	within := func(pos int) int { return min(max(pos-at, 0), len(line)) }
	from, to := within(e.wrong.Start.Byte), within(e.wrong.End.Byte)
	to = max(from, to)
	e.out = append(e.out, printable(cutLeft(line[:from]))...)
	if e.wrong.Start.Byte >= at {
		e.from = len(e.out)
	}
	e.out = append(e.out, printable(cutRight(line[from:to], mostWrong))...)
	e.to = max(e.to, len(e.out))
	e.out = append(e.out, printable(cutRight(line[to:], mostBefore))...)
	e.out = append(e.out, '\n')
}

func cutLeft(text []byte) string {
	if len(text) <= mostBefore {
		return string(text)
	}
	return "…" + strings.ToValidUTF8(string(text[len(text)-mostBefore:]), "")
}

func cutRight(text []byte, most int) string {
	if len(text) <= most {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:most]), "") + "…"
}

// presentable is a diagnostic whose words may be shown.
func presentable(files map[string]*hcl.File, d *hcl.Diagnostic) (map[string]*hcl.File, *hcl.Diagnostic) {
	var f *hcl.File
	if d.Subject != nil {
		f = files[d.Subject.Filename]
	}
	f, shown := excerpt(f, d)
	shown.Summary, shown.Detail = shortened(d.Summary), shortened(d.Detail)
	if longValue(d) {
		shown.Expression = nil
	}
	if f == nil || shown.Subject == nil {
		return nil, shown
	}
	return map[string]*hcl.File{shown.Subject.Filename: f}, shown
}

// shortened is a text as it may be shown, and no longer than anybody reads: what it
// quotes may be.
func shortened(text string) string {
	const most = 8 << 10
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most/2], "") + " … " + strings.ToValidUTF8(text[len(text)-most/2:], "")
	}
	return printable(text)
}

// longValue reports whether a value would be shown in full that is too long.
func longValue(d *hcl.Diagnostic) bool {
	if d.Expression == nil || d.EvalContext == nil {
		return false
	}
	return slices.ContainsFunc(d.Expression.Variables(), func(t hcl.Traversal) bool {
		v, diags := t.TraverseAbs(d.EvalContext)
		return !diags.HasErrors() && len(textOf(v)) > mostWrong
	})
}
