package view

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/hashicorp/hcl/v2"
	"github.com/mattn/go-isatty"
	"golang.org/x/term"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// Human writes lines for people: what was asked for on out, errors and notes on
// err.
type Human struct {
	out, err     io.Writer
	width        uint
	errWidth     uint // 0: err is no terminal
	colors       bool
	bold, faint  paint
	good, bad    paint
	change, note paint
	plain        paint
	doing        string // the last progress line, not to be repeated
	shown        time.Time
}

// NewHuman returns a view that uses colours if out is a terminal and NO_COLOR
// is unset.
func NewHuman(out *Output, err *os.File) *Human {
	width := columns(out.File)
	colors := isatty.IsTerminal(out.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	h := newHuman(out, err, width, colors)
	if isatty.IsTerminal(err.Fd()) {
		h.errWidth = uint(columns(err))
	}
	return h
}

// columns is how wide a terminal is, and what is usual where it is none.
func columns(f *os.File) int {
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
		return w
	}
	return 80
}

func newHuman(out, err io.Writer, width int, colors bool) *Human {
	h := &Human{
		out: out, err: err, width: uint(width), colors: colors,
		bold: paint{color.New(color.Bold)}, faint: paint{color.New(color.Faint)},
		good: paint{color.New(color.FgGreen)}, bad: paint{color.New(color.FgRed)},
		change: paint{color.New(color.FgYellow)}, note: paint{color.New(color.FgCyan)}, plain: paint{color.New()},
	}
	for _, c := range []paint{h.bold, h.faint, h.good, h.bad, h.change, h.note, h.plain} {
		if colors {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
	}
	return h
}

// line writes a line to out. Output that can't be shown is not a reason to
// leave a recovery half-way: the journal has it, so write errors are ignored.
func (h *Human) line(format string, args ...any) {
	_, _ = io.WriteString(h.out, sprintf(format+"\n", args...))
}

// inLargePieces has all that follows written together, until done is called.
func (h *Human) inLargePieces() (done func()) {
	out := h.out
	w := bufio.NewWriterSize(out, 1<<16)
	h.out = w
	return func() {
		_ = w.Flush() // as with line
		h.out = out
	}
}

// Note tells something beside the result.
func (h *Human) Note(format string, args ...any) {
	_, _ = io.WriteString(h.err, sprintf(format+"\n", args...))
}

// Asks says that a person reads this.
func (h *Human) Asks() bool { return true }

// Ask writes a question; the answer follows on the same line.
func (h *Human) Ask(question string) {
	_, _ = io.WriteString(h.out, sprintf("\n%s [yes/no] ", h.bold.Sprint(question)))
}

// Logs are lines beside the result.
func (h *Human) Logs() io.Writer { return h.err }

// Close has nothing to end.
func (h *Human) Close() {}

// Valid says that a runbook has no mistakes.
func (h *Human) Valid(book *lang.Runbook) {
	h.line("%s: %s", h.good.Sprint("valid"), count(len(book.Steps), "step"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Error shows what went wrong, where, and what to do now.
func (h *Human) Error(err error) {
	var book *lang.Error
	var failure *run.Failure
	var locked *journal.LockedError
	switch {
	case errors.As(err, &book):
		h.diagnostics(book.Book, book.Diags)
	case errors.As(err, &failure):
		h.diagnostics(failure.Book, hcl.Diagnostics{failure.Diag})
	case errors.Is(err, run.ErrInterrupted), errors.Is(err, run.ErrWaiting):
	case errors.As(err, &locked):
		h.plainError(locked, lockedHint)
	default:
		h.plainError(err, engine.HintOf(err))
	}
}

func (h *Human) plainError(err error, hint string) {
	const what = "Error:"
	text := h.forErr(what + " " + err.Error())
	h.Note("%s%s", h.bad.Sprint(what), strings.TrimPrefix(text, what))
	if hint != "" {
		h.Note("%s.", h.forErr(strings.TrimSuffix(hint, ".")))
	}
}

// forErr is a text as err takes it: wrapped on a terminal, and as it is for whoever
// searches in it.
func (h *Human) forErr(text string) string {
	if h.errWidth == 0 {
		return text
	}
	return atWords(text, h.errWidth)
}

func (h *Human) diagnostics(book *lang.Runbook, diags hcl.Diagnostics) {
	files := map[string]*hcl.File{}
	if book != nil {
		files = book.Files
	}
	for _, d := range diags {
		shown, d := presentable(files, d)
		_ = hcl.NewDiagnosticTextWriter(h.err, shown, h.width, h.colors).WriteDiagnostic(d) // as with line
	}
}

// about is a duration of which nobody knows more than its size.
func about(d time.Duration) string {
	switch {
	case d < time.Second:
		return "under 1 s"
	case d < time.Minute:
		return fmt.Sprintf("about %d s", int(d.Round(time.Second).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("about %d min", int(d.Round(time.Minute).Minutes()))
	}
	return fmt.Sprintf("about %.1f h", d.Hours())
}

// took is a duration as people read it.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return max(d.Round(time.Millisecond), time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
