package view

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"runbook/engine/journal"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// made is a journal that was never written: its times are what a test says.
type made struct {
	t       *testing.T
	records []journal.Record
	now     time.Time
}

func (m *made) add(after time.Duration, kind, data string) {
	m.t.Helper()
	if !json.Valid([]byte(data)) {
		m.t.Fatalf("%s: %s", kind, data)
	}
	m.now = m.now.Add(after)
	m.records = append(m.records, journal.Record{Seq: len(m.records) + 1, Time: m.now, Kind: kind, Data: json.RawMessage(data)})
}

func (m *made) report(book *lang.Runbook, html bool) string {
	m.t.Helper()
	h, err := run.Tell(m.records, false)
	if err != nil {
		m.t.Fatal(err)
	}
	text, err := Report(h, book, html)
	if err != nil {
		m.t.Fatal(err)
	}
	return text
}

func newMade(t *testing.T, plan string) *made {
	m := &made{t: t, now: time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)}
	m.add(0, "run", `{"format":1,"version":"1.0","host":"cp1","run":{"id":"20260301-020000-abcd","runbook":"etcd-restore",
		"started":"2026-03-01T02:00:00Z"},"salt":"x","sources":[{"name":"etcd-restore.hcl","text":""}],"variables":{"dir":{"value":"/var/lib/etcd","type":"string"}},
		"sensitive":{"token":"0a1b"},"plan":`+plan+`}`)
	return m
}

// eventful is a run in which all happened that a report tells of.
func eventful(t *testing.T) *made {
	m := newMade(t, `{"runbook":"etcd-restore","host":"cp1",
		"data":[{"type":"etcd_inventory","name":"before","result":{"revision":7,"counts":{"pods./default":12,"secrets./kube-system":3,"configmaps./default":4}}},
			{"type":"file","name":"conf","result":{"path":"/etc/etcd.conf","exists":true}}],
		"steps":[
			{"name":"stop","action":"systemd_unit","description":"Stop etcd.","change":{}},
			{"name":"restore","action":"etcd_snapshot_restore","description":"Build the data anew.","approve":"Take it down?",
				"preconditions":[{"condition":"path(\"/x\").exists","ok":true}],"change":{}},
			{"name":"healthy","action":"etcd_health","change":{"checks":["http://127.0.0.1:2379 is healthy"]}},
			{"name":"extra","action":"remove","change":{"items":[{"target":"/never","before":"file","after":"gone"}]}},
			{"name":"counted","action":"etcd_inventory","change":{"checks":["counted"]}},
			{"name":"prove","action":"runbook","change":{}}]}`)
	m.add(time.Second, "done", `{"step":"stop","unchanged":true,"took_ns":900000000}`)
	m.add(time.Second, "waiting", `{"step":"restore","message":"Take it down?"}`)
	m.add(30*time.Second, "approved", `{"step":"restore","by":"ann","reason":"INC-7"}`)
	m.add(10*time.Second, "resumed", `{"version":"1.0","pid":1}`)
	m.add(time.Second, "intent", `{"step":"restore","request":{},"change":{"kept":["/var/lib/etcd.before"],
		"items":[{"target":"/var/lib/etcd","before":"old","after":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","note":"5 MiB","diff":"--- a\n+++ b\n-old\n+new\n"}]}}`)
	m.add(5*time.Minute, "resumed", `{"version":"1.0","pid":2}`)
	m.add(time.Second, "examined", `{"step":"restore","finding":"half-way"}`)
	m.add(20*time.Second, "done", `{"step":"restore","took_ns":20000000000,"result":{"revision":1007}}`)
	m.add(15*time.Second, "failed", `{"step":"healthy","error":"it is not healthy\n\nWait.","attempts":15}`)
	m.add(time.Minute, "resumed", `{"version":"1.0","pid":3}`)
	m.add(6*time.Second, "done", `{"step":"healthy","unchanged":true,"took_ns":6000000000,"attempts":6,"last_error":"connection refused"}`)
	m.add(0, "done", `{"step":"extra","skipped":"when is false: var.more"}`)
	m.add(2*time.Second, "done", `{"step":"counted","unchanged":true,"took_ns":2000000000,
		"result":{"counts":{"pods./default":12,"secrets./kube-system":1,"leases./kube-system":2}}}`)
	m.add(time.Second, "done", `{"step":"prove","unchanged":true,"took_ns":0,
		"data":[{"step":"prove","type":"etcd_inventory","name":"after","result":{"counts":{"pods./default":12,"secrets./kube-system":3,"leases./kube-system":2}}}]}`)
	m.add(0, "finished", `{"outputs":[{"name":"revision","value":1007},{"name":"token","sensitive":true}]}`)
	return m
}

var restoreBook = &lang.Runbook{Description: "Bring etcd back.", TimeBudget: 10 * time.Minute}

func TestReports(t *testing.T) {
	golden(t, "report.md", eventful(t).report(restoreBook, false))
	golden(t, "report.html", eventful(t).report(restoreBook, true))
}

// What else a run can come to.
func TestReportsOfOtherEnds(t *testing.T) {
	item := `"change":{"kept":["/k"],"undo_kept":["/u"],"items":[{"target":"/a","before":"x","after":"y"}]}`
	plan := `{"steps":[{"name":"one","action":"move",` + item + `},{"name":"two","action":"move",` + item + `}]}`
	began := func(t *testing.T) *made {
		m := newMade(t, plan)
		m.add(time.Second, "intent", `{"step":"one","request":{},`+item+`}`)
		m.add(time.Second, "done", `{"step":"one","took_ns":1000000000}`)
		m.add(time.Second, "intent", `{"step":"two","request":{},`+item+`}`)
		return m
	}
	for _, c := range []struct {
		name string
		tell func(m *made)
		want []string
	}{
		{"killed", func(*made) {}, []string{"Outcome | interrupted", "begun, not finished", "1 of 2 steps done.", "▒"}},
		{"failed", func(m *made) {
			m.add(time.Second, "failed", `{"step":"two","error":"no room"}`)
		}, []string{"Outcome | failed", "step two failed; now: begun, not finished", "It stopped at step two", "no room"}},
		{"rolled back", func(m *made) {
			m.add(time.Second, "failed", `{"step":"two","error":"no room"}`)
			m.add(0, "rollback", `{}`)
			m.add(time.Second, "undo_failed", `{"step":"two","error":"still no room"}`)
			m.add(time.Minute, "resumed", `{"version":"1","pid":2}`)
			m.add(time.Second, "undone", `{"step":"two","reason":"a mail that was sent"}`)
			m.add(time.Second, "undone", `{"step":"one"}`)
			m.add(0, "rolled_back", `{}`)
		}, []string{"Outcome | rolled back", "Step two failed, and what had been changed was undone, but for 1 step left as it is.",
			"two could not be undone", "left as it is: a mail that was sent", "`/u`", "▄"}},
		{"rolled back later", func(m *made) {
			m.add(time.Second, "done", `{"step":"two","took_ns":1000000000}`)
			m.add(0, "finished", `{}`)
			m.add(24*time.Hour, "resumed", `{"version":"1","pid":2}`)
			m.add(0, "rollback", `{}`)
			m.add(time.Second, "undone", `{"step":"two"}`)
			m.add(time.Second, "undone", `{"step":"one"}`)
			m.add(0, "rolled_back", `{}`)
			m.add(time.Hour, "pruned", `{"path":"/u"}`)
		}, []string{"It finished at 2026-03-01 02:00:04, and was rolled back later.", "Took | 4 s |", "ended, and was rolled back later, 1 d",
			"Ended | 2026-03-02 02:00:06", "Deleted for good since:\n\n- `/u`"}},
		{"by hand", func(m *made) {
			m.add(time.Minute, "accepted", `{"by":"bob","sources":[{"name":"etcd-restore.hcl","text":""}],"plan":`+plan+`}`)
			m.add(0, "done", `{"step":"two","skipped":"did it","by":"ann"}`)
			m.add(0, "resumed", `{"version":"1","pid":2}`)
			m.add(0, "finished", `{}`)
		}, []string{"**ann** took the step as done: step two. Reason: “did it”", "**bob** had the run follow the changed runbook", "interrupted for 1 min"}},
		{"given up", func(m *made) {
			m.add(time.Minute, "abandoned", `{"reason":"did it by hand"}`)
		}, []string{"Outcome | given up", "Somebody gave the run up. Reason: “did it by hand”"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := began(t)
			c.tell(m)
			text := m.report(&lang.Runbook{}, false)
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			wellFormed(t, m.report(&lang.Runbook{}, true))
		})
	}
}

// What a host, a runbook or an error says is shown as text, whatever it is.
func TestReportsEscape(t *testing.T) {
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "`|[x](javascript:alert(3)) **b** \x1b[31m\u202e"
	quoted, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	e := string(quoted)
	m := newMade(t, `{"data":[{"type":`+e+`,"name":`+e+`,"result":{`+e+`:`+e+`,"counts":{`+e+`:1}}}],
		"steps":[{"name":`+e+`,"action":`+e+`,"description":`+e+`,"approve":`+e+`,
			"preconditions":[{"condition":`+e+`,"message":`+e+`}],"change":{"checks":[`+e+`]}}]}`)
	m.add(time.Second, "approved", `{"step":`+e+`,"by":`+e+`,"reason":`+e+`}`)
	m.add(time.Second, "intent", `{"step":`+e+`,"request":{},"change":{"kept":[`+e+`],"checks":[`+e+`],
		"items":[{"target":`+e+`,"attribute":`+e+`,"before":`+e+`,"after":`+e+`,"note":`+e+`,"diff":`+e+`}]}}`)
	m.add(time.Second, "failed", `{"step":`+e+`,"error":`+e+`}`)
	m.add(time.Second, "resumed", `{"version":`+e+`,"pid":1}`)
	m.add(time.Second, "done", `{"step":`+e+`,"took_ns":1000000000,"attempts":2,"last_error":`+e+`,"result":{`+e+`:`+e+`}}`)
	m.add(time.Second, "finished", `{"outputs":[{"name":`+e+`,"value":`+e+`}]}`)
	m.add(time.Second, "pruned", `{"path":`+e+`}`)
	book := &lang.Runbook{Description: evil}

	page := m.report(book, true)
	wellFormed(t, page)
	plain := m.report(book, false)
	if found := regexp.MustCompile(`(^|[^\\])<(script|img)`).FindString(withoutCode(plain)); found != "" {
		t.Errorf("Markdown has %q:\n%s", found, plain)
	}
	if found := regexp.MustCompile(`(^|[^\\])(\[x\]|\*\*b)`).FindString(withoutCode(plain)); found != "" {
		t.Errorf("Markdown has %q:\n%s", found, plain)
	}
	for _, text := range []string{page, plain} {
		if strings.ContainsAny(text, "\x1b\u202e") {
			t.Error("a report has control characters")
		}
		if strings.Count(text, "alert") < 20 {
			t.Errorf("the report leaves out what it was told:\n%s", text)
		}
	}
}

// withoutCode is Markdown without its blocks and spans of code, in which
// nothing means anything.
func withoutCode(text string) string {
	text = regexp.MustCompile("(?ms)^ *(````*)[a-z]*$.*?^ *````*$").ReplaceAllString(text, "")
	return regexp.MustCompile("``[^\n]*?[^`]``([^`]|$)|(^|[^\\\\`])`[^`\n]+`").ReplaceAllString(text, "")
}

// wellFormed wants a page in which every element is closed, and nothing is
// fetched or carried out.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta"}, xml.HTMLEntity
	var open []string
	for {
		tok, err := d.RawToken()
		if err != nil {
			if err != io.EOF || len(open) > 0 {
				t.Errorf("%v, open: %v", err, open)
			}
			return
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if tok.Name.Local != "meta" {
				open = append(open, tok.Name.Local)
			}
			tagIsHarmless(t, tok)
		case xml.EndElement:
			n := len(open) - 1
			if n < 0 || open[n] != tok.Name.Local {
				t.Fatalf("</%s> closes none of %v", tok.Name.Local, open)
			}
			open = open[:n]
		}
	}
}

var fetched = regexp.MustCompile(`^(script|img|link|iframe|object|embed|base|form)$`)

func tagIsHarmless(t *testing.T, tok xml.StartElement) {
	t.Helper()
	if fetched.MatchString(tok.Name.Local) {
		t.Errorf("the page has %v", tok)
	}
	for _, a := range tok.Attr {
		name := a.Name.Local
		if strings.HasPrefix(name, "on") || name == "src" || name == "href" && !strings.HasPrefix(a.Value, "#step-") {
			t.Errorf("the page has %v", tok)
		}
	}
}

// A report of a thousand steps can be read: few rows, no more than each needs.
func TestReportOfManySteps(t *testing.T) {
	const n = 1000
	var steps []string
	for i := range n {
		steps = append(steps, fmt.Sprintf(`{"name":"move[\"%d\"]","action":"move","description":"Move a file.","change":{}}`, i))
	}
	m := newMade(t, `{"steps":[`+strings.Join(steps, ",")+`]}`)
	diff, err := json.Marshal(strings.Repeat("+line\n", 5000))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		name, _ := json.Marshal(fmt.Sprintf(`move["%d"]`, i))
		item := `{"target":"/srv/a","before":"file","after":"at /srv/b"}`
		if i == 17 {
			item = `{"target":"/srv/a","before":"file","after":"text","diff":` + string(diff) + `}`
		}
		m.add(time.Second, "intent", fmt.Sprintf(`{"step":%s,"request":{},"change":{"items":[%s]}}`, name, item))
		if i == 500 {
			m.add(time.Second, "failed", `{"step":"move[\"500\"]","error":"no"}`)
			m.add(time.Hour, "resumed", `{"version":"1","pid":2}`)
		}
		m.add(time.Second, "done", fmt.Sprintf(`{"step":%s,"took_ns":1000000000}`, name))
	}
	m.add(0, "finished", `{}`)
	page := m.report(&lang.Runbook{TimeBudget: time.Hour}, true)
	wellFormed(t, page)
	if rows := strings.Count(page, `class="row`); rows > 2*mostRows+1 || rows < 3 {
		t.Errorf("the timeline has %d rows", rows)
	}
	if !strings.Contains(page, `<b>501</b> move[&#34;500&#34;]`) {
		t.Error("the step that failed has no row of its own")
	}
	if steps := strings.Count(page, `<details id="step-`); steps != n {
		t.Errorf("%d steps are listed", steps)
	}
	if lines := strings.Count(page, "&#43;line"); lines != mostDiffLines {
		t.Errorf("the difference has %d lines", lines)
	}
	for what, size := range map[string]int{"page": len(page), "Markdown": len(m.report(&lang.Runbook{}, false))} {
		if size > 2<<20 {
			t.Errorf("the %s has %d bytes", what, size)
		}
	}
}

func TestAxisShortensLongPauses(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	a := newAxis(t0, at(1060), []run.Pause{{From: at(30), To: at(1030)}})
	for _, c := range []struct {
		t      time.Time
		lo, hi float64
	}{{at(-5), 0, 0}, {at(0), 0, 0}, {at(30), 42.8, 42.9}, {at(1030), 57.1, 57.2}, {at(1060), 100, 100}, {at(2000), 100, 100}} {
		if x := a.x(c.t); x < c.lo || x > c.hi {
			t.Errorf("%s is at %v", c.t.Sub(t0), x)
		}
	}
	for _, tick := range a.ticks() {
		if tick.X > 43 && tick.X < 57 {
			t.Errorf("a tick in a pause that is drawn short: %v", tick)
		}
	}
}

func TestSpokenDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 ms", 964 * time.Millisecond: "964 ms", 1500 * time.Millisecond: "1.5 s", 2 * time.Second: "2 s",
		59 * time.Second: "59 s", 59700 * time.Millisecond: "1 min", 61 * time.Second: "1 min 1 s", 30 * time.Minute: "30 min",
		59*time.Minute + 59800*time.Millisecond: "1 h", 90 * time.Minute: "1 h 30 min", 49 * time.Hour: "2 d 1 h",
	} {
		if got := spoken(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

// What a step has compared with a snapshot stands beside what was counted in
// the snapshot; what it didn't look at isn't gone.
func TestComparedObjectsStandSideBySide(t *testing.T) {
	m := newMade(t, `{"runbook":"etcd-restore","host":"cp1",
		"data":[{"type":"etcd_inventory","name":"backup","result":{"counts":{"secrets/a":3,"pods/a":2,"endpoints/a":9}}}],
		"steps":[{"name":"back","action":"kubernetes_compare","change":{"checks":["all is there"]}}]}`)
	m.add(time.Second, "done", `{"step":"back","unchanged":true,"took_ns":1,"result":{"counts":{"secrets/a":4,"pods/a":2}}}`)
	text := m.report(restoreBook, false)
	for _, want := range []string{"### Objects of Kubernetes", "data backup", "step back", "+1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if strings.Contains(text, "gone") || strings.Contains(text, "### kubernetes") {
		t.Errorf("what wasn't compared counts:\n%s", text)
	}
}
