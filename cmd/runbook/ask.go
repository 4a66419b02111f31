package main

import (
	"bufio"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"

	"runbook/engine"
	"runbook/engine/run"
)

// terminal reports whether there is somebody to ask.
func (a *app) terminal() bool {
	f, ok := a.in.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && a.view.Asks()
}

// agreed asks on a terminal; elsewhere --yes has to be given.
func (a *app) agreed(question string) (bool, error) {
	if !a.terminal() {
		return false, engine.Errorf("runbook", "this needs a yes, and there is no terminal to ask on").
			WithHint("Look at the plan, then give --yes")
	}
	yes, _ := a.ask(question)
	return yes, nil
}

// confirm is an error unless somebody has agreed. next says what to type if not.
func (a *app) confirm(question, next string) error {
	agreed, err := a.agreed(question)
	if err == nil && !agreed {
		err = engine.Errorf("runbook", "not confirmed; nothing was changed").WithHint("%s", next)
	}
	return err
}

// agreedTo asks whether a plan is to be carried out. After a no it tells how the host
// is, and what to type next.
func (a *app) agreedTo(p *run.Plan, file string) (bool, error) {
	a.view.Recall(p)
	agreed, err := a.agreed("Carry this out?")
	if err != nil || agreed {
		return agreed, err
	}
	a.code = exitError
	a.view.Note("\nNothing has been changed.\n  look:     runbook plan -v %s\n  go on:    runbook run %s, as before", file, file)
	return false, nil
}

// ask puts a question on the terminal until the answer is one, and returns who has
// agreed. The end of the input is a no, and so is a Ctrl-C.
func (a *app) ask(question string) (yes bool, who string) {
	for {
		a.view.Ask(question)
		switch answer, more := a.answer(); {
		case slices.Contains([]string{"y", "yes"}, answer):
			return true, operator()
		case slices.Contains([]string{"n", "no"}, answer):
			return false, ""
		case !more:
			a.view.Note("")
			return false, ""
		}
		a.view.Note("Type yes or no, or y or n.")
	}
}

// answer reads a line, and reports whether there may be another one.
func (a *app) answer() (text string, more bool) {
	if a.lines == nil {
		a.lines = bufio.NewReader(a.in)
	}
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := a.lines.ReadString('\n')
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return strings.ToLower(strings.TrimSpace(l.text)), l.err == nil
	case <-a.stop.Done():
		return "", false
	}
}
