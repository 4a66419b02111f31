package view

import (
	"bufio"
	"cmp"
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
	width        uint // for tables and explanations
	outWidth     int  // at which lines are wrapped; 0 where out is no terminal
	errWidth     int  // likewise
	verbose      bool // all is shown
	colors       bool
	bold, faint  paint
	good, bad    paint
	change, note paint
	plain        paint
	told         *hcl.Diagnostic // why a step failed, which was said
	spaced       bool            // an empty line stands above what comes next on err
	toldHow      bool            // how such steps are shown
	passed       int             // steps passed over that were not told of
	folding      bool            // and the one in hand is such
	doing        string          // the last progress line, not to be repeated
	shown        time.Time
}

// NewHuman returns a view that uses colours if out is a terminal and NO_COLOR
// is unset.
func NewHuman(out *Output, err *os.File) *Human {
	width := columns(out.File)
	colors := isatty.IsTerminal(out.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	h := newHuman(out, err, width, colors)
	if !isatty.IsTerminal(out.Fd()) {
		h.outWidth = 0 // left as they are for whoever searches in them
	}
	if h.errWidth = 0; isatty.IsTerminal(err.Fd()) {
		h.errWidth = columns(err)
	}
	return h
}

// narrowest is the narrowest terminal that is believed to be one.
const narrowest = 20

// columns is how wide a terminal is, and what is usual where it is none.
func columns(f *os.File) int {
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w >= narrowest {
		return w
	}
	return 80
}

func newHuman(out, err io.Writer, width int, colors bool) *Human {
	h := &Human{
		out: out, err: err, width: uint(width), outWidth: width, errWidth: width, colors: colors,
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
	_, _ = io.WriteString(h.out, wrapped(sprintf(format, args...), h.outWidth)+"\n")
}

// asIs writes lines that mean something as they are, such as a piece of a runbook.
func (h *Human) asIs(format string, args ...any) {
	_, _ = io.WriteString(h.out, sprintf(format+"\n", args...)) // as with line
}

// Verbose has all shown that there is.
func (h *Human) Verbose() { h.verbose = true }

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
	_, _ = io.WriteString(h.err, wrapped(sprintf(format, args...), h.errWidth)+"\n")
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
	var blocked *run.BlockedError
	switch {
	case errors.As(err, &book):
		h.diagnostics(book.Book, book.Diags)
	case errors.As(err, &failure):
		h.diagnostics(failure.Book, hcl.Diagnostics{h.untold(failure.Diag)})
	case errors.Is(err, run.ErrInterrupted), errors.Is(err, run.ErrWaiting):
	case errors.As(err, &blocked) && h.outWidth > 0: // the plan stands above
		h.plainError(blocked.Brief, engine.HintOf(blocked.Brief))
	case errors.As(err, &locked):
		h.plainError(locked, lockedHint)
	default:
		h.plainError(err, engine.HintOf(err))
	}
}

func (h *Human) plainError(err error, hint string) {
	h.Note("%s %s", h.bad.Sprint("Error:"), err)
	if hint != "" {
		h.Note("%s.", strings.TrimSuffix(hint, "."))
	}
}

func (h *Human) diagnostics(book *lang.Runbook, diags hcl.Diagnostics) {
	h.spaced = len(diags) > 0
	files := map[string]*hcl.File{}
	if book != nil {
		files = book.Files
	}
	for _, d := range diags {
		shown, d := presentable(files, d)
		d.Detail = unbroken(d.Detail)
		var b strings.Builder
		_ = hcl.NewDiagnosticTextWriter(&b, shown, uint(cmp.Or(h.errWidth, int(h.width))), h.colors).WriteDiagnostic(d) // a builder takes all
		_, _ = io.WriteString(h.err, broken(b.String()))                                                                // as with line
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
