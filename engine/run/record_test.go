package run

import (
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
		s := newState()
		if err := s.apply(journal.Record{Kind: kindIntent, Data: []byte(data)}); err != nil {
			t.Errorf("%s: %v", data, err)
		}
		if st := s.Steps[want]; len(s.Steps) != 1 || !st.InDoubt() {
			t.Errorf("%s: %v", data, s.Steps)
		}
	}
	for _, data := range []string{`{"step":3}`, `{"step":"one`, ``} {
		if err := newState().apply(journal.Record{Kind: kindIntent, Data: []byte(data)}); err == nil {
			t.Errorf("%q is taken for an intent", data)
		}
	}
}

// What was about to change is there when it is asked for.
func TestIntentsAreDecodedOnDemand(t *testing.T) {
	s := newState()
	data := `{"step":"one","request":{"action":"move"},"change":{"items":[{"target":"/a","before":"b","after":"c"}],"kept":["/k"]}}`
	if err := s.apply(journal.Record{Kind: kindIntent, Data: []byte(data)}); err != nil {
		t.Fatal(err)
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
		s := newState()
		if err := s.apply(journal.Record{Kind: kindDone, Data: []byte(data)}); err != nil || len(s.Steps["one"].Result()) != want {
			t.Errorf("%s: %v, %v", data, s.Steps["one"], err)
		}
	}
	for _, data := range []string{`{"step":"one","result":"text"}`, `{"step":"one","result":[1]}`} {
		if err := newState().apply(journal.Record{Kind: kindDone, Data: []byte(data)}); err == nil {
			t.Errorf("%s is taken for a result", data)
		}
	}
}
