package view

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"runbook/engine"
)

// changes shows what changes on a few lines: each change, or the names of what is
// changed where there are more than that.
func (h *Human) changes(indent string, items []engine.Item, most int) {
	mark := h.change.Sprint("~")
	if len(items) <= most {
		for _, it := range items {
			h.line("%s%s %s", indent, mark, changed(it, h.roomForTwo(len(indent)+2)))
		}
		return
	}
	names := []string{strings.TrimSpace(middle(oneWord(items[0].Target), mostOfName) + " " + items[0].Attribute)}
	for _, it := range items[1:] {
		names = append(names, strings.TrimSpace(path.Base(oneWord(it.Target))+" "+it.Attribute))
	}
	h.line("%s%s %s", indent, mark, listed(count(len(names), "change")+": ", names, h.room(len(indent)+2)))
}

// mostOfName is how much is shown of a path that others follow.
const mostOfName = 40

// room is how many columns are left of a line behind some.
func (h *Human) room(behind int) int {
	if h.outWidth == 0 {
		return math.MaxInt
	}
	return max(h.outWidth-behind, 1)
}

// roomForTwo is room where one line would be too little for what a change is.
func (h *Human) roomForTwo(behind int) int {
	room := h.room(behind)
	if room >= enough {
		return room
	}
	return 2*room - 10 // the first line may end early
}

// enough is how many columns a change needs.
const enough = 60

// listed is as many of the names as there is room for.
func listed(what string, names []string, room int) string {
	text := what + strings.Join(names, ", ")
	if runewidth.StringWidth(text) <= room {
		return text
	}
	return runewidth.Truncate(text, room, "…")
}

// changed is a change on one line: what is long loses its middle.
func changed(it engine.Item, room int) string {
	parts := []string{strings.TrimSpace(oneWord(it.Target) + " " + it.Attribute), oneWord(it.Before), oneWord(it.After)}
	lines := ""
	if added, removed := diffLength(it.Diff); added+removed > 0 {
		lines = fmt.Sprintf(" (+%d −%d lines)", added, removed)
	}
	most := widestOf(parts, room-runewidth.StringWidth(":  → "+lines))
	for i := range parts {
		parts[i] = middle(parts[i], most)
	}
	return parts[0] + ": " + parts[1] + " → " + parts[2] + lines
}

// widestOf is how wide each of the parts may be for all of them to have room.
func widestOf(parts []string, room int) int {
	widths := make([]int, len(parts))
	for i, p := range parts {
		widths[i] = runewidth.StringWidth(p)
	}
	slices.Sort(widths)
	for i, w := range widths {
		if share := room / (len(widths) - i); w > share {
			return max(share, 1)
		}
		room -= w
	}
	return math.MaxInt
}

// diffLength is how many lines a difference adds and takes away.
func diffLength(diff string) (added, removed int) {
	for line := range strings.SplitSeq(diff, "\n") {
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		case strings.HasPrefix(line, "+"):
			added++
		case strings.HasPrefix(line, "-"):
			removed++
		}
	}
	return added, removed
}
