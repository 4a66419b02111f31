package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"

	"runbook/engine"
)

// Drill is what a drill found.
type Drill struct {
	Backup       string
	Saved        bool               `json:"saved"`
	Failed       string             `json:"failed"`
	Reason       string             `json:"reason"`
	Revision     int64              `json:"revision"`
	Keys         int64              `json:"keys"`
	ContentHash  string             `json:"content_hash"`
	Objects      map[string]int64   `json:"objects"`
	Seconds      map[string]float64 `json:"seconds"`
	TotalSeconds float64            `json:"total_seconds"`
}

// NewDrill makes a Drill of the result of the action etcd_snapshot_drill.
func NewDrill(backup string, res engine.Result) (Drill, error) {
	d := Drill{Backup: backup}
	text, err := json.Marshal(res)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		return d, engine.Errorf(backup, "understanding the drill: %w", err)
	}
	return d, nil
}

// drillParts are a drill's parts in their order.
var drillParts = []string{"verify", "restore", "boot", "compare", "count"}

// outcome is how a part of the drill ended: ok, failed or not_begun.
func (d Drill) outcome(part string) string {
	_, begun := d.Seconds[part]
	switch {
	case d.Failed == part:
		return "failed"
	case begun:
		return "ok"
	}
	return "not_begun"
}

// Drill shows what a drill found.
func (h *Human) Drill(d Drill) {
	h.line("%s of %s\n", h.bold.Sprint("Drill"), d.Backup)
	w := tabwriter.NewWriter(h.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PART\tTIME\tRESULT")
	for _, part := range drillParts {
		took := "-"
		if s, begun := d.Seconds[part]; begun {
			took = fmt.Sprintf("%.2f s", s)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", part, took, d.found(part))
	}
	_ = w.Flush() // as with line
	h.line("")
	if d.Saved {
		h.line("%s, in %.1f s beside what stopping and starting takes.", h.good.Sprint("It would have saved you"), d.TotalSeconds)
		return
	}
	h.line("%s: %s", h.bad.Sprint("It would not have saved you"), cmp.Or(d.Reason, d.Failed+" failed"))
}

// found is what a part came to, for people.
func (d Drill) found(part string) string {
	switch outcome := d.outcome(part); {
	case outcome != "ok":
		return strings.ReplaceAll(outcome, "_", " ")
	case part == "verify":
		return fmt.Sprintf("ok: revision %d, %s", d.Revision, count(int(d.Keys), "key"))
	case part == "compare":
		return "ok: etcd holds every key, and nothing else"
	case part == "count":
		return d.objects()
	}
	return "ok"
}

// objects names the kinds of which there are most.
func (d Drill) objects() string {
	kinds := slices.Collect(maps.Keys(d.Objects))
	if len(kinds) == 0 {
		return "no objects of Kubernetes"
	}
	slices.SortFunc(kinds, func(a, b string) int { return cmp.Or(cmp.Compare(d.Objects[b], d.Objects[a]), cmp.Compare(a, b)) })
	total := int64(0)
	var most []string
	for i, kind := range kinds {
		total += d.Objects[kind]
		if i < 3 {
			most = append(most, fmt.Sprintf("%s %s", humanize.Comma(d.Objects[kind]), kind))
		}
	}
	text := count(int(total), "object") + ": " + strings.Join(most, ", ")
	if more := len(kinds) - len(most); more > 0 {
		text += " and " + count(more, "further kind")
	}
	return text
}

// jsonDrill is a Drill as docs/json.md describes it.
type jsonDrill struct {
	Backup       string           `json:"backup"`
	Saved        bool             `json:"saved"`
	Reason       string           `json:"reason,omitempty"`
	Revision     int64            `json:"revision,omitempty"`
	Keys         *int64           `json:"keys,omitempty"`
	ContentHash  string           `json:"content_hash,omitempty"`
	Objects      map[string]int64 `json:"objects"`
	Parts        []jsonDrillPart  `json:"parts"`
	TotalSeconds float64          `json:"total_seconds"`
}

type jsonDrillPart struct {
	Part    string   `json:"part"`
	Result  string   `json:"result"`
	Seconds *float64 `json:"seconds,omitempty"`
}

// Drill shows what a drill found.
func (j *JSON) Drill(d Drill) {
	out := &jsonDrill{
		Backup: d.Backup, Saved: d.Saved, Reason: d.Reason, Revision: d.Revision, ContentHash: d.ContentHash,
		Objects: d.Objects, TotalSeconds: d.TotalSeconds,
	}
	if d.ContentHash != "" {
		out.Keys = &d.Keys
	}
	for _, part := range drillParts {
		p := jsonDrillPart{Part: part, Result: d.outcome(part)}
		if s, begun := d.Seconds[part]; begun {
			p.Seconds = &s
		}
		out.Parts = append(out.Parts, p)
	}
	j.doc.Drill = out
}
