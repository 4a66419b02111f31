package view

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// mostTold is how many elements of a list are told where nobody asks for all.
const mostTold = 12

// inLines tells the elements of a list in a line each.
func (h *Human) inLines(name string, list []any, line string) {
	h.line("  %s", name)
	for _, x := range list[:min(mostTold, len(list))] {
		if members, ok := x.([]pair); ok {
			first, typed, _ := strings.Cut(lineOf(line, members), "\n")
			h.line("%s", "    "+strings.TrimPrefix(h.wrap(first, "      "), "      "))
			if typed != "" {
				h.line("      %s", h.bold.Sprint(typed))
			}
		}
	}
	if more := len(list) - mostTold; more > 0 {
		h.line("    and %d more (-v shows them)", more)
	}
}

// folded is a list of simple values on one line, and no more of them than anybody
// reads.
func (h *Human) folded(list []any) string {
	if h.verbose || len(list) <= mostTold {
		return flat(list)
	}
	return fmt.Sprintf("%s, and %d more (-v shows them)", flat(list[:mostTold]), len(list)-mostTold)
}

var reference = regexp.MustCompile(`\{\w+\}`)

// lineOf is an object in a line: its parts are divided by "|", and each is there where
// the members that it names say something.
func lineOf(line string, members []pair) string {
	var text strings.Builder
	for part := range strings.SplitSeq(line, "|") {
		whole := true
		part = reference.ReplaceAllStringFunc(part, func(ref string) string {
			says := sayingOf(strings.Trim(ref, "{}"), members)
			whole = whole && says != ""
			return says
		})
		if !whole {
			continue
		}
		if strings.HasPrefix(part, ".") { // one sentence ends once
			part = strings.TrimPrefix(part, ".")
			if !strings.HasSuffix(text.String(), ".") {
				part = "." + part
			}
		}
		text.WriteString(part)
	}
	return text.String()
}

// sayingOf is what a member says; empty where it says nothing, or that there is none.
func sayingOf(name string, members []pair) string {
	for _, m := range members {
		if m.name != name {
			continue
		}
		switch v := m.value.(type) {
		case bool:
			if v {
				return name
			}
			return "not " + name
		case json.Number:
			if v == "0" {
				return ""
			}
		}
		return strings.ReplaceAll(flat(m.value), "\n", " ")
	}
	return ""
}
