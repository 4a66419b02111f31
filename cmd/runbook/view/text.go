package view

import "io"

// Text writes text to out as it is.
func (h *Human) Text(text string) {
	_, _ = io.WriteString(h.out, text) // as with line
}
