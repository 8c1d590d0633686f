package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// roffReader turns manual pages into text for readers without man(1). It knows the requests that our pages use (see
// man_roff_test.go), not all of man(7).
type roffReader struct {
	out    strings.Builder
	width  int
	styled bool // bold and underlined text

	line   string // of words that wait for more
	tag    string // of a tagged paragraph, which waits for its text
	before string // a tag that stands on the line of its text
	base   int    // indent of paragraphs
	indent int    // of the text that comes
	margin []int  // of .RS
	wantTg bool   // the next line is a tag
	fixed  bool   // lines stay as they are
	gap    bool   // no empty line is wanted: the last one is empty, or a heading
}

// Where text stands, in columns: man(7)'s own.
const (
	roffIndent  = 7
	roffHanging = 7
)

// Styles while text is laid out; style turns them into what a terminal understands, or into nothing.
const (
	markRoman  = "\x00"
	markBold   = "\x01"
	markItalic = "\x02"
)

var roffEscapes = strings.NewReplacer(
	`\fB`, markBold, `\fI`, markItalic, `\fR`, markRoman, `\-`, "-", `\e`, `\`, `\&`, "",
	`\(aq`, "'", `\(ga`, "`", `\(ha`, "^", `\(ti`, "~", `\(->`, "→",
)

// readRoff is the text of a page, at most width columns wide where words allow.
func readRoff(src string, width int, styled bool) string {
	r := &roffReader{width: width, styled: styled}
	for line := range strings.Lines(src) {
		r.read(strings.TrimSuffix(line, "\n"))
	}
	r.flush()
	return r.out.String()
}

func (r *roffReader) read(line string) {
	request, rest := "", line
	if strings.HasPrefix(line, ".") {
		request, rest, _ = strings.Cut(line[1:], " ")
	}
	switch request {
	case "":
		r.text(roffPlain(rest))
	case "BR":
		words := strings.Fields(rest)
		r.text(markBold + roffPlain(words[0]) + markRoman + roffPlain(strings.Join(words[1:], "")))
	case "TH":
		f := strings.Fields(rest)
		r.emit(0, markBold+f[0]+"("+f[1]+")"+markRoman)
	case "SH", "SS":
		r.flush()
		r.blank()
		at := 0
		if request == "SS" {
			at = 3
		}
		r.emit(at, markBold+roffPlain(strings.Trim(rest, `"`))+markRoman)
		r.base, r.indent, r.gap = roffIndent, roffIndent, true
	case "PP":
		r.flush()
		r.blank()
		r.indent = r.base
	case "IP", "TP":
		r.flush()
		r.blank()
		r.indent, r.wantTg = r.base+roffHanging, request == "TP"
	case "RS":
		r.flush()
		r.margin = append(r.margin, r.base)
		r.base += roffHanging
		if rest == "4" {
			r.base += 4 - roffHanging
		}
		r.indent = r.base
	case "RE":
		r.flush()
		r.base, r.margin = r.margin[len(r.margin)-1], r.margin[:len(r.margin)-1]
		r.indent = r.base
	case "br":
		r.flush()
	case "EX", "EE":
		r.flush()
		r.fixed = request == "EX"
	}
}

func (r *roffReader) text(s string) {
	switch {
	case r.wantTg:
		r.wantTg, r.tag = false, s
	case r.fixed:
		r.emit(r.indent, s)
	default:
		for word := range strings.FieldsSeq(s) {
			r.word(word)
		}
	}
}

func (r *roffReader) word(w string) {
	if r.tag != "" {
		r.hang()
	}
	if r.line != "" && r.indent+visible(r.line)+1+visible(w) > r.width {
		r.flush()
	}
	if r.line != "" && !strings.HasSuffix(r.line, " ") {
		r.line += " "
	}
	r.line += w
}

// hang puts a tag before its text: on the same line if there is room.
func (r *roffReader) hang() {
	tag := r.tag
	r.tag = ""
	if n := visible(tag); n < roffHanging {
		r.before = strings.Repeat(" ", r.indent-roffHanging) + r.style(tag) + strings.Repeat(" ", roffHanging-n)
		return
	}
	r.emit(r.indent-roffHanging, tag)
}

// flush writes the words that wait.
func (r *roffReader) flush() {
	if r.tag != "" {
		r.hang()
	}
	if line := r.line; line != "" || r.before != "" {
		r.line = ""
		r.emit(r.indent, line)
	}
}

func (r *roffReader) emit(at int, s string) {
	left := strings.Repeat(" ", at)
	if r.before != "" {
		left, r.before = r.before, ""
	}
	r.out.WriteString(strings.TrimRight(left+r.style(s), " ") + "\n")
	r.gap = strings.TrimSpace(left+s) == ""
}

func (r *roffReader) blank() {
	if !r.gap {
		r.out.WriteByte('\n')
		r.gap = true
	}
}

var roffMarks = strings.NewReplacer(markRoman, "\x1b[0m", markBold, "\x1b[1m", markItalic, "\x1b[4m")

func (r *roffReader) style(s string) string {
	if r.styled {
		return roffMarks.Replace(s)
	}
	return roffUnmarked.Replace(s)
}

var roffUnmarked = strings.NewReplacer(markRoman, "", markBold, "", markItalic, "")

func visible(s string) int { return utf8.RuneCountInString(roffUnmarked.Replace(s)) }

// roffPlain replaces the escapes of our pages.
func roffPlain(s string) string {
	s = roffEscapes.Replace(s)
	for {
		at := strings.Index(s, `\[u`)
		if at < 0 {
			return s
		}
		end := strings.IndexByte(s[at:], ']')
		if end < 0 {
			return s
		}
		n, err := strconv.ParseUint(s[at+3:at+end], 16, 32)
		if err != nil {
			return s
		}
		s = s[:at] + string(rune(n)) + s[at+end+1:]
	}
}
