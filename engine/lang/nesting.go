package lang

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A parser that goes down with what it reads ends the process where that is
// deep enough, and tokens take many times the room of their text. So a text is
// looked at before it is parsed.
const (
	mostWords   = 1_000_000
	mostNesting = 500
	mostCopied  = 4 << 30
)

// parseConfig parses a file that may hold anything.
func parseConfig(text []byte, name string) (*hcl.File, hcl.Diagnostics) {
	if n := words(text); n > mostWords {
		at := hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
		return noFile(text), hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: "Too large", Subject: &at,
			Detail: fmt.Sprintf("A file may have %d words and signs, and this one has %d. Split it, or read what is long with file().", mostWords, n),
		}}
	}
	tokens, _ := hclsyntax.LexConfig(text, name, hcl.InitialPos) // what is wrong the parser says as well
	if diag := tooMuch(tokens); diag != nil {
		return noFile(text), hcl.Diagnostics{diag}
	}
	file, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	bound(file.Body.(*hclsyntax.Body))
	return file, diags
}

// parseExpression does the same for an expression.
func parseExpression(text []byte, name string) (hclsyntax.Expression, hcl.Diagnostics) {
	tokens, _ := hclsyntax.LexExpression(text, name, hcl.InitialPos)
	if diag := tooMuch(tokens); diag != nil {
		return nil, hcl.Diagnostics{diag}
	}
	expr, diags := hclsyntax.ParseExpression(text, name, hcl.InitialPos)
	return bounded(expr), diags
}

func noFile(text []byte) *hcl.File { return &hcl.File{Body: &hclsyntax.Body{}, Bytes: text} }

// tooMuch says what the parser would have too much trouble with; nil if nothing.
func tooMuch(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	n := nesting{levels: []level{{lines: true}}}
	for i, t := range tokens {
		n.take(tokens, i)
		switch {
		case n.depth > mostNesting:
			return &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Nested too deeply", Subject: t.Range.Ptr(),
				Detail: fmt.Sprintf("Brackets, blocks and operators may stand within each other %d times. Give the inner parts names with locals.", mostNesting),
			}
		case n.copied > mostCopied:
			return &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Too long a text", Subject: t.Range.Ptr(),
				Detail: "Texts of so many lines take too long to read here. Put it into a file of its own and read it with file().",
			}
		case t.Type == hclsyntax.TokenNumberLit && len(t.Bytes) > mostDigits:
			return &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Not a number to work with", Subject: t.Range.Ptr(),
				Detail: sentence(digits(len(t.Bytes)).Error()),
			}
		}
	}
	return nil
}

// words counts the words and signs of a text: about as many tokens has it.
func words(text []byte) int {
	n, inWord := 0, false
	for _, c := range text {
		letter := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
		if c != ' ' && !(letter && inWord) {
			n++
		}
		inWord = letter
	}
	return n
}

// level is what stands between two brackets. In a chain each operator has all
// that is before it, or behind it, within it.
type level struct {
	chain int
	lines bool // the end of a line ends a chain
	text  int  // of a template, in bytes, with what it takes to tell its lines apart
}

// nesting follows how deep the parser would have to go.
type nesting struct {
	levels []level
	depth  int // of all levels with their chains
	copied int // of templates: with each line the parser copies those before it
}

func (n *nesting) take(tokens hclsyntax.Tokens, i int) {
	switch t := tokens[i]; t.Type {
	case hclsyntax.TokenOBrace:
		n.open(level{lines: word(tokens, i+1) != "for"})
	case hclsyntax.TokenOBrack, hclsyntax.TokenOParen: // an index or a call may follow another
		n.link(1)
		n.open(level{})
	case hclsyntax.TokenTemplateControl:
		n.directive(word(tokens, i+1))
		n.open(level{})
	case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp:
		n.open(level{})
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
		n.shut()
	case hclsyntax.TokenStringLit, hclsyntax.TokenQuotedLit:
		n.top().text += len(t.Bytes) + 16
		n.copied += n.top().text
	case hclsyntax.TokenComma:
		n.link(-n.top().chain)
	case hclsyntax.TokenNewline:
		if n.top().lines {
			n.link(-n.top().chain)
		}
	case hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent,
		hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
		hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenBang,
		hclsyntax.TokenQuestion, hclsyntax.TokenColon, hclsyntax.TokenDot, hclsyntax.TokenDoubleColon:
		n.link(1)
	}
}

func (n *nesting) top() *level { return &n.levels[len(n.levels)-1] }

func (n *nesting) open(l level) {
	n.levels = append(n.levels, l)
	n.depth++
}

// shut ends a level. A bracket too many is a mistake that the parser reports.
func (n *nesting) shut() {
	if len(n.levels) == 1 {
		return
	}
	n.depth -= 1 + n.top().chain
	n.levels = n.levels[:len(n.levels)-1]
}

func (n *nesting) link(by int) {
	n.top().chain += by
	n.depth += by
}

// directive is a %{ … } of a template, of which some enclose what follows.
func (n *nesting) directive(name string) {
	switch {
	case name == "if", name == "for":
		n.link(1)
	case (name == "endif" || name == "endfor") && n.top().chain > 0:
		n.link(-1)
	}
}

// word is the name at a place among tokens; empty if there is none.
func word(tokens hclsyntax.Tokens, i int) string {
	if i < len(tokens) && tokens[i].Type == hclsyntax.TokenIdent {
		return string(tokens[i].Bytes)
	}
	return ""
}
