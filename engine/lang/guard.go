package lang

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// guarded are functions that refuse arguments of which they would make more than
// an expression may come to: what they have made is counted too late.
func guarded(all map[string]function.Function) map[string]function.Function {
	out := maps.Clone(all)
	for name, f := range all {
		if name != "try" && name != "can" && name != "convert" { // these take expressions and no values
			out[name] = guard(f, guards[name])
		}
	}
	return out
}

// guard leaves all to f but the judgement of its arguments.
func guard(f function.Function, check func([]cty.Value) error) function.Function {
	spec := &function.Spec{Description: f.Description()}
	for _, p := range f.Params() {
		spec.Params = append(spec.Params, anything(p))
	}
	if p := f.VarParam(); p != nil {
		all := anything(*p)
		spec.VarParam = &all
	}
	spec.Type = func(args []cty.Value) (cty.Type, error) {
		if err := refused(args, check); err != nil {
			return cty.NilType, err
		}
		t, err := f.ReturnTypeForValues(args)
		return t, withoutStack(err)
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, err := f.Call(args)
		return v, withoutStack(err)
	}
	return function.New(spec)
}

// anything is a parameter that hands on whatever it is given.
func anything(p function.Parameter) function.Parameter {
	p.AllowNull, p.AllowUnknown, p.AllowDynamicType, p.AllowMarked = true, true, true, true
	return p
}

// withoutStack is what a function says that could not do with its arguments.
func withoutStack(err error) error {
	var p function.PanicError
	if errors.As(err, &p) {
		return errors.New("it can't work with this")
	}
	return err
}

// refused says why a function isn't called.
func refused(args []cty.Value, check func([]cty.Value) error) error {
	bare := make([]cty.Value, len(args))
	texts, elements := 0, 0
	for i, a := range args {
		bare[i], _ = a.UnmarkDeep()
		switch t := a.Type(); {
		case !bare[i].IsKnown(), bare[i].IsNull():
			return nil // the function knows what to do
		case t == cty.Number:
			if what := wrongNumber(bare[i].AsBigFloat()); what != "" {
				return function.NewArgErrorf(i, "it is %s", what)
			}
		case t == cty.String:
			texts += len(bare[i].AsString())
		case bare[i].CanIterateElements():
			elements += bare[i].LengthInt()
		}
	}
	if texts > mostProduced || elements > mostElements {
		return errTooMuch
	}
	if check == nil {
		return nil
	}
	return check(bare)
}

var errTooMuch = fmt.Errorf("it would come to more than %d MiB of text, or %d elements", mostProduced>>20, mostElements)

// guards are by name of the function. They are given arguments that are known,
// neither null nor marked, and of the right types.
var guards = map[string]func([]cty.Value) error{
	"format":     guardFormat,
	"formatlist": guardFormat,
	"indent":     func(a []cty.Value) error { return product(number(a[0]), 1+strings.Count(text(a[1]), "\n")) }, // one is made in any case
	"join":       guardJoin,
	"replace":    func(a []cty.Value) error { return product(strings.Count(text(a[0]), text(a[1])), len(text(a[2]))) },
	"split":      func(a []cty.Value) error { return many(strings.Count(text(a[1]), text(a[0]))) },
	"csvdecode": func(a []cty.Value) error {
		return many(strings.Count(text(a[0]), ",") + strings.Count(text(a[0]), "\n"))
	},
	"jsondecode":    guardJSON,
	"jsonencode":    func(a []cty.Value) error { return product(6, textIn(a[0])) }, // "\u0000"
	"regex":         func(a []cty.Value) error { return guardRegex(text(a[0]), text(a[1])) },
	"regexall":      guardRegexAll,
	"regex_replace": guardRegexReplace,
	"distinct":      guardDistinct,
	"setproduct":    guardSetProduct,
	"parseint":      func(a []cty.Value) error { return digits(len(text(a[0]))) },
}

func text(v cty.Value) string {
	if v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

func number(v cty.Value) int {
	n, _ := v.AsBigFloat().Int64()
	return int(min(max(n, 0), mostProduced+1))
}

// product refuses what comes to a times b bytes, or takes as many steps.
func product(a, b int) error {
	if a > 0 && b > mostProduced/a {
		return errTooMuch
	}
	return nil
}

func many(n int) error {
	if n > mostElements {
		return errTooMuch
	}
	return nil
}

const mostDigits = 2000

func digits(n int) error {
	if n > mostDigits {
		return fmt.Errorf("a number may have %d digits", mostDigits)
	}
	return nil
}

// textIn is how much text is in a value.
func textIn(v cty.Value) int {
	n := 0
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsKnown() && !v.IsNull() {
			n += len(text(v))
		}
		return true, nil
	})
	return n
}

// verbs are what a format has between a % and its letter.
var (
	verbs  = regexp.MustCompile(`%[^%A-Za-z]*`)
	widths = regexp.MustCompile(`[0-9]+`)
)

const mostWidth = 10_000

func guardFormat(args []cty.Value) error {
	longest := 0
	for _, a := range args[1:] {
		longest = max(longest, textIn(a))
	}
	all := verbs.FindAllString(text(args[0]), -1)
	for _, verb := range all {
		for _, width := range widths.FindAllString(verb, -1) {
			if n, err := strconv.Atoi(width); err != nil || n > mostWidth {
				return function.NewArgErrorf(0, "a width or precision may be %d", mostWidth)
			}
			longest = max(longest, mostWidth/10)
		}
	}
	return product(len(all), longest)
}

func guardJoin(args []cty.Value) error {
	n := 0
	for _, list := range args[1:] {
		n += list.LengthInt()
	}
	return product(n, len(text(args[0])))
}

func guardSetProduct(args []cty.Value) error {
	n := len(args)
	for _, set := range args {
		if n *= set.LengthInt(); n > mostElements {
			return errTooMuch
		}
	}
	return nil
}

// guardJSON refuses what is nested so deeply, or has so long numbers, that
// reading it would not end well.
func guardJSON(args []cty.Value) error {
	depth, values, run, inText := 0, 0, 0, false
	s := text(args[0])
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '[', c == '{':
			depth++
			values++
		case c == ']', c == '}':
			depth--
		case c == ',':
			values++
		}
		if run++; s[i] < '0' || s[i] > '9' || inText {
			run = 0
		}
		if depth > mostNesting || run > mostDigits {
			return function.NewArgErrorf(0, "it is nested more than %d times, or has a number of more than %d digits", mostNesting, mostDigits)
		}
	}
	return many(values)
}

// guardRegex knows how long it may take: at each character of the text, all
// instructions of the pattern.
func guardRegex(pattern, s string) error {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil // the function says what is wrong
	}
	prog, err := syntax.Compile(re.Simplify())
	if err == nil && len(prog.Inst) > mostWork/(len(s)+1) {
		err = errors.New("this pattern would take too long on a text of that length")
	}
	return err
}

const mostWork = 1 << 28

// matches counts the matches and their groups.
func matches(pattern, s string) (all, groups int) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return 0, 0
	}
	return len(re.FindAllStringIndex(s, mostElements)), re.NumSubexp()
}

func guardRegexAll(a []cty.Value) error {
	if err := guardRegex(text(a[0]), text(a[1])); err != nil {
		return err
	}
	n, groups := matches(text(a[0]), text(a[1]))
	return many(n * (1 + groups))
}

func guardRegexReplace(a []cty.Value) error {
	s, pattern, with := text(a[0]), text(a[1]), text(a[2])
	if err := guardRegex(pattern, s); err != nil {
		return err
	}
	n, _ := matches(pattern, s)
	return errors.Join(product(n, len(with)), product(strings.Count(with, "$"), len(s)))
}

// guardDistinct knows that each element is compared with all others.
func guardDistinct(a []cty.Value) error {
	const most = 4000
	if a[0].LengthInt() > most {
		return function.NewArgErrorf(0, "it may have %d elements; toset() takes more", most)
	}
	return nil
}
