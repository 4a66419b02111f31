package view

import (
	"io"
	"regexp"
	"strings"

	"github.com/mitchellh/go-wordwrap"
)

// Text writes text to out as it is.
func (h *Human) Text(text string) {
	_, _ = io.WriteString(h.out, text) // as with line
}

// Shown writes what is printable of a text to out.
func (h *Human) Shown(text string) { h.Text(printable(text)) }

// wrap is a text in lines that fit beside an indent, which all of them get.
func (h *Human) wrap(text, indent string) string {
	lines := atWords(text, min(h.width, 100)-uint(len(indent)))
	return indent + strings.ReplaceAll(lines, "\n", "\n"+indent)
}

// quoted is what stands in a text to be typed or copied: `runbook resume`.
var quoted = regexp.MustCompile("`[^`\n]+`")

// atWords wraps a text at words. What is to be typed stays on one line.
func atWords(text string, width uint) string {
	return broken(wordwrap.WrapString(unbroken(text), width))
}

// hard stands for a space that wordwrap is to take for a letter. Nobody uses it.
const hard = "\ue00a"

// unbroken is a text whose commands are one word each, and broken is it again as it
// was.
func unbroken(text string) string {
	return quoted.ReplaceAllStringFunc(text, func(typed string) string { return strings.ReplaceAll(typed, " ", hard) })
}

func broken(text string) string { return strings.ReplaceAll(text, hard, " ") }
