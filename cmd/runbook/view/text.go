package view

import "io"

// Text writes text to out as it is.
func (h *Human) Text(text string) {
	_, _ = io.WriteString(h.out, text) // as with line
}

// Shown writes what is printable of a text to out.
func (h *Human) Shown(text string) { h.Text(printable(text)) }
