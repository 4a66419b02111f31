package view

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"regexp"
	"strings"
	"text/template"

	"runbook/engine/lang"
	"runbook/engine/run"
)

//go:embed templates
var templates embed.FS

// Report writes what a run leaves for those who look back at it, as Markdown or
// as a page of HTML that needs nothing beside it. book is the runbook that the
// journal holds, as far as it can be understood.
func Report(h *run.History, book *lang.Runbook, html bool) (string, error) {
	r := newReport(h, book)
	var b bytes.Buffer
	var err error
	if html {
		err = page().Execute(&b, r)
	} else {
		err = markdown().Execute(&b, r)
	}
	if err != nil {
		return "", fmt.Errorf("the report of run %s: %w", r.Run.ID, err)
	}
	return tokens.ReplaceAllString(printable(b.String()), "(sensitive)"), nil
}

// tokens stand in a journal for sensitive texts, and tell them apart for a
// resume. A reader has no use for that.
var tokens = regexp.MustCompile(`\\?\(\(sensitive:[0-9a-f]{24}\)\)`)

// digests are cut to what a reader compares.
var digests = regexp.MustCompile(`\b([0-9a-f]{12})[0-9a-f]{52}\b`)

func brief(text string) string { return digests.ReplaceAllString(text, "$1…") }

// The templates are parsed when they are needed: most commands don't.

func page() *htmltemplate.Template {
	style, err := templates.ReadFile("templates/report.css")
	if err != nil {
		panic(err) // it is part of the binary
	}
	funcs := htmltemplate.FuncMap{"style": func() htmltemplate.CSS { return htmltemplate.CSS(style) }, "clean": printable}
	for name, f := range reportFuncs {
		funcs[name] = f
	}
	return htmltemplate.Must(htmltemplate.New("report.html").Funcs(funcs).ParseFS(templates, "templates/report.html"))
}

func markdown() *template.Template {
	funcs := template.FuncMap{"md": escaped, "code": codeSpan, "cell": cell, "fence": fence, "strip": strip}
	for name, f := range reportFuncs {
		funcs[name] = f
	}
	return template.Must(template.New("report.md").Funcs(funcs).ParseFS(templates, "templates/report.md"))
}

// reportFuncs are those that both formats use.
var reportFuncs = map[string]any{
	"stamp": stamp, "clock": dayTime, "spoken": spoken, "target": target, "diff": diffLines, "count": count, "join": strings.Join, "gauge": func(p float64) float64 { return min(p, 100) },
	"difftext": diffText, "brief": brief, "spaced": func(word string) string { return strings.ReplaceAll(word, "_", " ") },
}

func target(name, attribute string) string { return strings.TrimSpace(name + " " + attribute) }

// diffLine is a line of a difference, and what it is.
type diffLine struct{ Kind, Text string }

// mostDiffLines is how many lines of a difference a report has; the journal has
// them all.
const mostDiffLines = 400

func diffLines(text string) []diffLine {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	more := len(lines) - mostDiffLines
	var all []diffLine
	for _, line := range lines[:min(len(lines), mostDiffLines)] {
		kind := ""
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"), strings.HasPrefix(line, "@@"):
			kind = "at"
		case strings.HasPrefix(line, "+"):
			kind = "new"
		case strings.HasPrefix(line, "-"):
			kind = "old"
		}
		all = append(all, diffLine{Kind: kind, Text: clean(line)})
	}
	if more > 0 {
		all = append(all, diffLine{Kind: "at", Text: fmt.Sprintf("… and %s in the journal", count(more, "more line"))})
	}
	return all
}

// diffText is diffLines as a text.
func diffText(text string) string {
	var b strings.Builder
	for _, l := range diffLines(text) {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}
