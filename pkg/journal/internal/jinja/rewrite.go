package jinja

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

const (
	printFilter = "kumo_print"
	noneName    = "kumo_none"
)

// rewrite makes {{ a if b else c }} {{ (a)|kumo_print if b else (c)|kumo_print }}, and the word none a variable;
// lines keep their numbers. It refuses filters, tests and statements that do not exist.
func rewrite(source string, env *exec.Environment) (string, error) {
	list := lex(source)
	r := &rewriter{source: source, env: env}
	for i, t := range list {
		if t.Type == tokens.Error {
			return "", &Error{t.Line, t.Val}
		}
		if err := r.token(list, i); err != nil {
			return "", err
		}
	}
	r.out.WriteString(source[r.done:])
	return r.out.String(), nil
}

// lex is the tokens of a source without the blanks. Positions count bytes.
func lex(source string) []*tokens.Token {
	stream := tokens.LexAll(source, config.New())
	var list []*tokens.Token
	for !stream.End() {
		t := stream.Current()
		if t == nil {
			break
		}
		if t.Type != tokens.Whitespace {
			list = append(list, t)
		}
		if t.Type == tokens.EOF || t.Type == tokens.Error {
			break
		}
		stream.Next()
	}
	return list
}

type rewriter struct {
	source string
	env    *exec.Environment
	out    strings.Builder
	done   int // bytes of source that are in out
	printd bool
	open   bool // an output's expression was opened
	depth  int
}

// put writes the source up to pos, and text.
func (r *rewriter) put(pos int, text string) {
	r.out.WriteString(r.source[r.done:pos])
	r.out.WriteString(text)
	r.done = pos
}

func (r *rewriter) token(list []*tokens.Token, i int) error {
	t := list[i]
	switch t.Type {
	case tokens.VariableBegin:
		r.put(t.Pos+len(t.Val), " (")
		r.printd, r.open, r.depth = true, true, 0
	case tokens.VariableEnd:
		if r.open {
			r.put(t.Pos, ")|"+printFilter+" ")
		}
		r.printd, r.open = false, false
	case tokens.LeftParenthesis, tokens.LeftBracket, tokens.LeftBrace:
		r.depth++
	case tokens.RightParenthesis, tokens.RightBracket, tokens.RightBrace:
		r.depth--
	case tokens.Pipe:
		if next := list[min(i+1, len(list)-1)]; next.Type == tokens.Name && !r.env.Filters.Exists(next.Val) {
			return &Error{next.Line, fmt.Sprintf("there is no filter %q", next.Val)}
		}
	case tokens.Is:
		return r.test(list[i+1:])
	case tokens.BlockBegin:
		if next := list[min(i+1, len(list)-1)]; next.Type == tokens.Name {
			return r.statement(next)
		}
	case tokens.Name:
		r.name(list, i)
	}
	return nil
}

// name rewrites the words that mean something.
func (r *rewriter) name(list []*tokens.Token, i int) {
	t := list[i]
	before := list[max(i-1, 0)].Type
	switch {
	case (t.Val == "none" || t.Val == "None") && before != tokens.Is && before != tokens.Dot && before != tokens.Not:
		r.put(t.Pos, noneName)
		r.done = t.Pos + len(t.Val)
	case !r.printd || r.depth != 0:
	case t.Val == "if" && r.open:
		r.put(t.Pos, ")|"+printFilter+" ")
		r.open = false
	case t.Val == "else" && !r.open:
		r.put(t.Pos+len(t.Val), " (")
		r.open = true
	}
}

func (r *rewriter) test(rest []*tokens.Token) error {
	for _, t := range rest {
		switch {
		case t.Type == tokens.Not:
			continue
		case t.Type == tokens.Name && !r.env.Tests.Exists(t.Val):
			return &Error{t.Line, fmt.Sprintf("there is no test %q", t.Val)}
		}
		return nil
	}
	return nil
}

func (r *rewriter) statement(t *tokens.Token) error {
	if r.env.ControlStructures.Exists(t.Val) || slices.Contains([]string{"else", "elif"}, t.Val) || strings.HasPrefix(t.Val, "end") {
		return nil
	}
	switch t.Val {
	case "include", "import", "from", "extends":
		return &Error{t.Line, t.Val + ": " + errNoFiles.Error()}
	}
	return &Error{t.Line, fmt.Sprintf("there is no statement %q", t.Val)}
}
