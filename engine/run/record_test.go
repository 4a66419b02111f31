package run

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"runbook/engine/journal"
)

// A record tells its step however it was written, and one that can't be
// decoded is an error and no nameless step.
func TestIntentsTellTheirStep(t *testing.T) {
	for data, want := range map[string]string{
		`{"step":"one","request":{"run":{"id":"r"},"action":"move","config":{}},"change":{}}`:                  "one",
		`{"step":"one[\"a\"]","request":{},"change":{}}`:                                                       `one["a"]`,
		`{"step":"db/one","change":{}}`:                                                                        "db/one",
		`{"change":{"items":[{"target":"/a","before":"b","after":"c"}]},"request":{"step":"no"},"step":"one"}`: "one",
	} {
		s := begun()
		if err := s.take(journal.Record{Kind: kindIntent, Data: []byte(data)}); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		if st := s.Steps[want]; len(s.Steps) != 1 || !st.InDoubt() {
			t.Errorf("%s: %v", data, s.Steps)
		}
	}
	for _, data := range []string{`{"step":3}`, `{"step":"one`, ``, `{"step":"` + strings.Repeat("x", leanFrom) + `","change":}`} {
		if err := begun().take(journal.Record{Kind: kindIntent, Data: []byte(data)}); err == nil {
			t.Errorf("%q is taken for an intent", data)
		}
	}
}

// What was about to change is there when it is asked for.
func TestIntentsAreDecodedOnDemand(t *testing.T) {
	s := begun()
	data := `{"step":"one","request":{"action":"move"},"change":{"items":[{"target":"/a","before":"b","after":"c"}],"kept":["/k"]}}`
	if err := s.take(journal.Record{Kind: kindIntent, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
	spaced := strings.ReplaceAll(strings.Replace(data, "one", "spaced", 1), ":", " : ")
	if err := s.take(journal.Record{Kind: kindIntent, Data: []byte(spaced)}); err != nil {
		t.Fatal(err)
	}
	if c := s.Steps["spaced"].Change(); len(c.Items) != 1 {
		t.Errorf("%+v", c)
	}
	c := s.Steps["one"].Change()
	if len(c.Items) != 1 || c.Items[0].After != "c" || c.Kept[0] != "/k" {
		t.Errorf("%+v", c)
	}
	if c := s.step("two").Change(); !c.Empty() {
		t.Errorf("a step that has not begun: %+v", c)
	}
}

// A result is kept as it was recorded, and what is none is an error.
func TestResults(t *testing.T) {
	for data, want := range map[string]int{
		`{"step":"one","result":{"path":"/a","bytes":3},"took_ns":1}`: 2,
		`{"step":"one","result":null}`:                                0,
		`{"step":"one"}`:                                              0,
	} {
		s := begun()
		if err := s.take(journal.Record{Kind: kindDone, Data: []byte(data)}); err != nil || len(s.Steps["one"].Result()) != want {
			t.Errorf("%s: %v, %v", data, s.Steps["one"], err)
		}
	}
	for _, data := range []string{`{"step":"one","result":"text"}`, `{"step":"one","result":[1]}`} {
		if err := begun().take(journal.Record{Kind: kindDone, Data: []byte(data)}); err == nil {
			t.Errorf("%s is taken for a result", data)
		}
	}
}

// begun is the state of a run that has its header.
func begun() *State {
	s := newState()
	s.Header.Plan = &Plan{}
	return s
}

// Whatever is left out of a record until it is asked for, what stays is what it
// says.
func TestLean(t *testing.T) {
	long := strings.Repeat(`[{"a\"\\":"}]{,:\\"},-1.5e+3,true,null,"\\\\",""],`, 40)
	for name, c := range map[string]struct{ data, want string }{
		"an intent":      {`{"step":"one[\"a\"]","request":{"a":[` + long + `1]},"change":{"b":{"step":"no"}}}`, `{"step":"one[\"a\"]","request":null,"change":null}`},
		"an outcome":     {`{"step":"one","result":{"stdout":"` + strings.Repeat(`\\\"}`, 400) + `"},"took_ns":17}`, `{"step":"one","result":null,"took_ns":17}`},
		"another order":  {`{"result":{"a":[` + long + `1]},"step":"one"}`, `{"result":null,"step":"one"}`},
		"what is needed": {`{"data":[` + long + `1],"sources":{"result":{}}}`, `{"data":[` + long + `1],"sources":{"result":{}}}`},
		"no object":      {`{"step":"one","result":"` + strings.Repeat("x", 2000) + `"}`, `{"step":"one","result":"` + strings.Repeat("x", 2000) + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(lean(json.RawMessage(c.data))); got != c.want || !json.Valid([]byte(c.data)) {
				t.Errorf("got %s", got)
			}
			// A part of it is no record, whatever is left out.
			for n := range len(c.data) {
				if got := lean(json.RawMessage(c.data[:n])); json.Valid(got) {
					t.Fatalf("%s is taken for %s", c.data[:n], got)
				}
			}
		})
	}
}

// A text is cut between its characters, and nothing else changes.
func TestCut(t *testing.T) {
	for _, piece := range []string{"x", "ü", "🙂", `\n`, `\"`, `\\`, `\u00e9`, "a🙂\\n"} {
		for n := range 2 * mostOfText {
			long := strings.Repeat(piece, n)
			data := json.RawMessage(`{"step":"one","result":{"a":"` + long + `","b":[1,"` + long + `"]},"took_ns":3}`)
			got := cut(bytes.Clone(data))
			var want, is struct {
				Step   string
				Result struct {
					A string
					B []any
				}
				Took int `json:"took_ns"`
			}
			if json.Unmarshal(data, &want) != nil || json.Unmarshal(got, &is) != nil {
				t.Fatalf("%d of %s: %.200s", n, piece, got)
			}
			a, shorter := strings.CutSuffix(is.Result.A, "…")
			if !strings.HasPrefix(want.Result.A, a) || is.Result.B[1] != is.Result.A || is.Step != "one" || is.Took != 3 {
				t.Fatalf("%d of %s: %.200s", n, piece, got)
			}
			if shorter != (len(long) > mostOfText) || len(got) > 3*mostOfText {
				t.Fatalf("%d of %s are cut to %d bytes", n, piece, len(got))
			}
		}
	}
}
