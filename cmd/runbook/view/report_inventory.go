package view

import (
	"cmp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"runbook/engine"
	"runbook/engine/run"
)

// inventory is what was counted of one kind, at one or more times: whatever a
// data source or a step called counts, if it is a map of numbers.
type inventory struct {
	Type    string
	Columns []column
	Differ  []countRow // first and last differ
	Same    []countRow
	More    int // rows without a difference that are left out
}

// mostEqual is how many rows without a difference are listed.
const mostEqual = 500

// Compared reports whether there are two counts or more.
func (inv inventory) Compared() bool { return len(inv.Columns) > 1 }

// Equal is how many rows have no difference.
func (inv inventory) Equal() int { return len(inv.Same) + inv.More }

type column struct {
	Title string
	At    time.Time
	of    map[string]float64
	// only says that nothing else was counted: what isn't there isn't gone.
	only bool
}

// sameKeys names those that count by the same keys, "RESOURCE.GROUP/NAMESPACE",
// and so stand in one table.
var sameKeys = map[string]string{
	"etcd_inventory": kubernetesObjects, "kubernetes_inventory": kubernetesObjects, "kubernetes_compare": kubernetesObjects,
}

const kubernetesObjects = "Objects of Kubernetes"

type countRow struct {
	Key    string
	Counts []string // "–" where it wasn't there
	Change string   // +3, −2, new, gone
	Less   bool
}

// counts reports whether a value is a map of numbers, and which.
func counts(v any) (map[string]float64, bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 {
		return nil, false
	}
	out := make(map[string]float64, len(m))
	for name, x := range m {
		n, ok := x.(float64)
		if !ok {
			return nil, false
		}
		out[name] = n
	}
	return out, true
}

// inventories are what was counted, each kind beside its like.
func inventories(s *run.State) []inventory {
	var all []inventory
	add := func(kind, title string, at time.Time, r engine.Result) {
		of, ok := counts(plain(r)["counts"])
		if !ok {
			return
		}
		table := cmp.Or(sameKeys[kind], kind)
		i := slices.IndexFunc(all, func(inv inventory) bool { return inv.Type == table })
		if i < 0 {
			i, all = len(all), append(all, inventory{Type: table})
		}
		all[i].Columns = append(all[i].Columns, column{Title: title, At: at, of: of, only: kind == "kubernetes_compare"})
	}
	for _, d := range s.Readings() {
		add(d.Type, strings.TrimPrefix(d.Step+" data "+d.Name, " "), d.At, d.Result)
	}
	for _, p := range s.Header.Plan.Steps {
		if st := s.Steps[p.Name]; st != nil && st.Done {
			add(p.Action, "step "+p.Name, st.Ended, st.Result())
		}
	}
	for i := range all {
		slices.SortStableFunc(all[i].Columns, func(a, b column) int { return a.At.Compare(b.At) })
		all[i].compare()
	}
	return all
}

// compare sets the first count beside the last, key by key.
func (inv *inventory) compare() {
	keys := map[string]bool{}
	for _, c := range inv.Columns {
		for key := range c.of {
			keys[key] = true
		}
	}
	sorted := make([]string, 0, len(keys))
	for key := range keys {
		sorted = append(sorted, key)
	}
	sort.Strings(sorted)
	for _, key := range sorted {
		row := countRow{Key: key}
		for _, c := range inv.Columns {
			row.Counts = append(row.Counts, numeral(c.of, key))
		}
		first, last := inv.Columns[0], inv.Columns[len(inv.Columns)-1]
		if row.Change, row.Less = difference(first.of, last.of, key); row.Change == "gone" && last.only {
			row.Change = ""
		}
		if row.Change != "" {
			inv.Differ = append(inv.Differ, row)
		} else {
			inv.Same = append(inv.Same, row)
		}
	}
	inv.More = max(len(inv.Same)-mostEqual, 0)
	inv.Same = inv.Same[:len(inv.Same)-inv.More]
}

func numeral(of map[string]float64, key string) string {
	n, ok := of[key]
	if !ok {
		return "–"
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

func difference(before, after map[string]float64, key string) (text string, less bool) {
	b, was := before[key]
	a, is := after[key]
	switch {
	case !was && is:
		return "new", false
	case was && !is:
		return "gone", true
	case cmp.Compare(a, b) == 0:
		return "", false
	case a < b:
		return "−" + strconv.FormatFloat(b-a, 'f', -1, 64), true
	}
	return "+" + strconv.FormatFloat(a-b, 'f', -1, 64), false
}
