package view

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"runbook/engine"
)

// Read shows what a data source says, in the order in which it is documented, and
// what is of use to few to who asks for all.
func (h *Human) Read(s engine.DataSpec, r engine.Result) {
	h.line("%s", h.bold.Sprint(s.Name))
	var shown []pair
	lines := map[string]string{}
	hidden, width := 0, 0
	for _, a := range s.Results {
		v, err := json.Marshal(r[a.Name])
		if err != nil {
			continue // what a data source says is JSON
		}
		value := inOrder(v)
		switch {
		case !said(value):
		case a.Detail && !h.verbose:
			hidden++
		default:
			shown = append(shown, pair{a.Name, value})
			lines[a.Name] = a.Line
			width = max(width, len(a.Name))
		}
	}
	for _, p := range shown {
		if list, ok := p.value.([]any); ok && lines[p.name] != "" && !h.verbose {
			h.inLines(p.name, list, lines[p.name])
		} else {
			h.value(p.name, p.value, "  ", width)
		}
	}
	if hidden > 0 {
		h.line("%s", h.faint.Sprintf("%s (-v shows them)", count(hidden, "more value")))
	}
}

// pair is a member of an object. An object is a list of them, in the order in
// which the data source has them: the weightiest first.
type pair struct {
	name  string
	value any
}

// inOrder decodes JSON, keeping the order of objects.
func inOrder(text []byte) any {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return decode(dec)
}

func decode(dec *json.Decoder) any {
	token, err := dec.Token()
	if err != nil {
		return nil
	}
	switch token {
	case json.Delim('{'):
		members := []pair{}
		for dec.More() {
			name, _ := dec.Token() // what was encoded can be decoded
			members = append(members, pair{name.(string), decode(dec)})
		}
		_, _ = dec.Token()
		return members
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			list = append(list, decode(dec))
		}
		_, _ = dec.Token()
		return list
	}
	return token
}

// value shows a named value: on one line where it fits, else below its name.
// What says nothing isn't shown.
func (h *Human) value(name string, v any, indent string, width int) {
	switch v := v.(type) {
	case []pair:
		h.line("%s%s", indent, name)
		h.members(v, indent+"  ", indent+"  ")
	case []any:
		if !structured(v) {
			h.single(name, h.folded(v), indent, width)
			return
		}
		h.line("%s%s", indent, name)
		for _, x := range v {
			if members, ok := x.([]pair); ok {
				h.members(members, indent+"- ", indent+"  ")
			} else {
				h.value("-", x, indent+"  ", 0)
			}
		}
	default:
		h.single(name, flat(v), indent, width)
	}
}

func structured(list []any) bool {
	for _, x := range list {
		switch x.(type) {
		case []pair, []any:
			return true
		}
	}
	return false
}

// members shows an object's members, the first of them behind its own indent.
func (h *Human) members(members []pair, first, indent string) {
	width := 0
	for _, m := range members {
		if said(m.value) {
			width = max(width, len(m.name))
		}
	}
	for _, m := range members {
		if !said(m.value) {
			continue
		}
		h.value(m.name, m.value, first, width)
		first = indent
	}
}

func said(v any) bool {
	list, isList := v.([]any)
	return v != nil && v != "" && (!isList || len(list) > 0)
}

// single shows a value beside its name, wrapped under itself.
func (h *Human) single(name, text, indent string, width int) {
	if text == "" {
		return
	}
	under := strings.Repeat(" ", len(indent)+max(width, len(name))+2)
	lines := strings.TrimPrefix(h.wrap(oneLine(text), under), under)
	h.line("%s%-*s  %s", indent, width, name, lines)
}

// flat is a value without parts, as text.
func flat(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = flat(x)
		}
		return strings.Join(parts, ", ")
	}
	return ""
}
