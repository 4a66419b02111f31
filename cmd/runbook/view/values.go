package view

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"

	"runbook/engine"
)

// result shows the values of a result as JSON has them, a line each. What is empty
// says nothing and is left out.
func (h *Human) result(r engine.Result, indent string) {
	names := make([]string, 0, len(r))
	width := 0
	for name, v := range r {
		if text(v) == "" {
			continue
		}
		names = append(names, name)
		width = max(width, len(name))
	}
	sort.Strings(names)
	for _, name := range names {
		said := text(r[name])
		if !h.verbose {
			said = runewidth.Truncate(said, 2*mostOfLine, "…")
		}
		h.line("%s%-*s  %s", indent, width, name, said)
	}
}

// gist is a result in no more columns than that: what is short comes first, and
// what says nothing is left out.
func gist(r engine.Result, most int) string {
	var short, long []string
	for _, name := range slices.Sorted(maps.Keys(r)) {
		said := text(r[name])
		switch r[name].(type) {
		case []any, map[string]any:
			if said != "" {
				long = append(long, name+" "+said)
			}
		default:
			if said != "" && said != "0" && said != "false" {
				short = append(short, name+" "+said)
			}
		}
	}
	return runewidth.Truncate(strings.Join(append(short, long...), ", "), most, "…")
}

// plain is a result as JSON has it: a result that was just read looks like one
// that comes out of a journal.
func plain(r engine.Result) engine.Result {
	raw, err := json.Marshal(r)
	if err != nil {
		return r
	}
	var out engine.Result
	if json.Unmarshal(raw, &out) != nil {
		return r
	}
	return out
}

// text is a result's value on one line; empty for what says nothing.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return oneLine(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		return list(v)
	case map[string]any:
		return fields(v)
	}
	return fmt.Sprint(v)
}

// oneLine is a text without the end of its last line; one of several lines is
// quoted, and cut where it is long.
func oneLine(text string) string {
	const most = 200
	text = strings.TrimSuffix(text, "\n")
	if !strings.Contains(text, "\n") {
		return text
	}
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}

func list(all []any) string {
	parts := make([]string, len(all))
	for i, x := range all {
		parts[i] = text(x)
	}
	return strings.Join(parts, ", ")
}

func fields(m map[string]any) string {
	names := make([]string, 0, len(m))
	for name, v := range m {
		if text(v) != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = name + " " + text(m[name])
	}
	return strings.Join(names, ", ")
}
