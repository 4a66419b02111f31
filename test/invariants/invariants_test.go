package invariants

import (
	"encoding/json"
	"strings"
	"testing"

	"runbook/engine/journal"
)

const header = `run {"plan":{"steps":[{"name":"a"},{"name":"b","approve":"?"},{"name":"c"}]}}`

// begun is a run whose first step is done.
const begun = header + `
intent {"step":"a"}
done {"step":"a"}`

// finished is a run that is done, by way of everything that may happen to it.
const finished = begun + `
waiting {"step":"b"}
approved {"step":"b","by":"x"}
resumed {}
intent {"step":"b"}
resumed {}
resumed {}
examined {"step":"b","finding":"done"}
failed {"step":"b"}
resumed {}
examined {"step":"b","finding":"done"}
done {"step":"b"}
interrupted {}
resumed {}
done {"step":"c","unchanged":true}
finished {}`

func TestOrderedJournalsHold(t *testing.T) {
	for name, text := range map[string]string{
		"cut short": begun,
		"finished":  finished,
		"rolled back": finished + `
resumed {}
rollback {}
resumed {}
undo {"step":"b"}
undo_failed {"step":"b"}
resumed {}
undone {"step":"b"}
undone {"step":"a"}
rolled_back {}
pruned {}`,
		"rolled back by policy": begun + `
approved {"step":"b"}
intent {"step":"b"}
failed {"step":"b"}
rollback {}
undone {"step":"b"}
undone {"step":"a"}
rolled_back {}`,
		"by hand": begun + `
failed {"step":"b"}
done {"step":"b","skipped":"mended","by":"x"}
resumed {}
failed {"step":"c"}
abandoned {"reason":"?"}`,
		"gone on after a failure": begun + `
done {"step":"b","skipped":"when is false"}
failed {"step":"c"}
done {"step":"c","failed":true}
finished {}`,
	} {
		if err := Hold(records(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDisorderIsFound(t *testing.T) {
	for text, want := range map[string]string{
		`done {"step":"a"}`:                                                           "the first record",
		begun + "\n" + `run {}`:                                                       "the first record",
		begun + "\n" + `strange {}`:                                                   "no such kind",
		begun + "\n" + `intent {"step":"z"}`:                                          "no step",
		header + "\n" + `done {"step":"a"}`:                                           "an intent recorded: false",
		begun + "\n" + `intent {"step":"a"}`:                                          "begun already",
		begun + "\n" + `done {"step":"a"}`:                                            "done already",
		begun + "\n" + `intent {"step":"b"}`:                                          "nobody has approved",
		begun + "\n" + `intent {"step":"c"}`:                                          "step b is where it is",
		begun + "\n" + `done {"step":"c","unchanged":true}`:                           "step b is where it is",
		begun + "\n" + `examined {"step":"a"}`:                                        "isn't in doubt",
		begun + "\n" + `finished {}`:                                                  "step b is where it is",
		begun + "\n" + `undone {"step":"a"}`:                                          "the run is running",
		begun + "\n" + `rolled_back {}`:                                               "the run is running",
		begun + "\n" + `pruned {}`:                                                    "the run is running",
		begun + "\n" + "interrupted {}\n" + `done {"step":"b","unchanged":true}`:      "nothing more to do: interrupted",
		begun + "\n" + "waiting {\"step\":\"b\"}\n" + `intent {"step":"b"}`:           "nothing more to do: waiting",
		begun + "\napproved {\"step\":\"b\"}\n" + `approved {"step":"b"}`:             "approved, or begun",
		finished + "\n" + `finished {}`:                                               "the run is finished",
		finished + "\n" + `intent {"step":"a"}`:                                       "the run is finished",
		finished + "\nrollback {}\n" + `undone {"step":"a"}`:                          "step b is where it is",
		finished + "\nrollback {}\n" + `undone {"step":"c"}`:                          "nothing to undo",
		finished + "\nrollback {}\n" + `undo {"step":"a"}`:                            "step b is where it is",
		finished + "\nrollback {}\n" + `rolled_back {}`:                               "step a is where it is",
		finished + "\nrollback {}\n" + `rollback {}`:                                  "the run is rolling back",
		finished + "\nrollback {}\nundone {\"step\":\"b\"}\n" + `undone {"step":"b"}`: "undone already",
		finished + "\nrollback {}\nundone {\"step\":\"b\"}\nundone {\"step\":\"a\"}\nrolled_back {}\n" + `resumed {}`: "the run is rolled back",
	} {
		if err := Hold(records(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
}

func TestGapIsFound(t *testing.T) {
	all := records(t, begun)
	all[2].Seq = 5
	if err := Hold(all); err == nil {
		t.Error("a gap holds")
	}
}

// records are those of a text, a kind and its data a line.
func records(t *testing.T, text string) []journal.Record {
	t.Helper()
	var all []journal.Record
	for line := range strings.Lines(text) {
		kind, data, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !json.Valid([]byte(data)) {
			t.Fatalf("%s: not JSON", line)
		}
		all = append(all, journal.Record{Seq: len(all) + 1, Kind: kind, Data: []byte(data)})
	}
	return all
}
