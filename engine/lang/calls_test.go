package lang_test

import (
	"strings"
	"testing"
)

// A function that doesn't exist is a mistake of the file, also where no value
// would have it called.
func TestUnknownFunctionsAreFoundEverywhere(t *testing.T) {
	for _, expr := range []string{
		`false && startwith("a", "b")`,
		`true || startwith("a", "b")`,
		`true ? true : startwith("a", "b")`,
		`length([for x in ["a"] : x if startwith(x, "b")]) > 0`,
		`var.a && startwith("a", "b")`,
	} {
		_, diags := load(header + "variable \"a\" { type = bool }\nstep \"touch\" \"one\" {\n when = " + expr + "\n path = \"/a\"\n}\n")
		if len(diags) != 1 || !strings.Contains(diags[0].Detail, `"startswith"`) {
			t.Errorf("%s: %v", expr, diags)
		}
	}
}
