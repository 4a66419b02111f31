package view

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// least is how narrow a column of text may be that stands beside another one.
const least = 26

// rows shows names in a column and the texts beside them, wrapped under
// themselves; under the names where there is no room beside.
func (h *Human) rows(all []namedValue) {
	wide := widest(all)
	under := strings.Repeat(" ", 2+wide+2)
	beside := int(min(h.width, 100))-len(under) >= least
	for _, r := range all {
		switch {
		case r.Value == "":
			h.line("  %s", h.bold.Sprint(r.Name))
		case beside:
			h.line("  %s%s%s", h.bold.Sprint(r.Name), gap(r.Name, wide), strings.TrimPrefix(h.wrap(r.Value, under), under))
		default:
			h.line("  %s\n%s", h.bold.Sprint(r.Name), h.wrap(r.Value, "      "))
		}
	}
}

// cut is a text on one line, as far as there is room for it on a terminal. Elsewhere
// it is whole, for whoever searches in it.
func (h *Human) cut(text string, room int) string {
	if h.outWidth == 0 {
		return clean(strings.Join(strings.Fields(text), " "))
	}
	return fit(text, room)
}

// oneLiners shows names in a column and the texts beside them, a line each, cut
// where there is no more room.
func (h *Human) oneLiners(all []namedValue) {
	wide := widest(all)
	if int(h.width)-wide-5 < least {
		wide = 0
	}
	for _, r := range all {
		room := int(h.width) - 1 - 2 - max(wide, runewidth.StringWidth(r.Name)) - 2
		h.line("  %s%s%s", h.bold.Sprint(r.Name), gap(r.Name, wide), h.cut(r.Value, max(room, 1)))
	}
}

func widest(all []namedValue) int {
	wide := 0
	for _, r := range all {
		wide = max(wide, runewidth.StringWidth(r.Name))
	}
	return wide
}

// gap is what stands between a name and its text.
func gap(name string, wide int) string {
	return strings.Repeat(" ", max(0, wide-runewidth.StringWidth(name))+2)
}
