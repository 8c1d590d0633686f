package main

import (
	"fmt"
	"regexp"
	"strings"
)

// edition is the date of the manual. It is fixed, so that the pages depend on nothing but what they describe.
const edition = "2026-11-20"

// page is a manual page in the making: man(7) source, with long lines only where words are long.
type page struct {
	name    string // "kumo-queue-list"
	section int
	title   string // what stands behind the name: one line, no full stop
	b       strings.Builder
}

// newPage begins a page with its NAME section. The form `name \- title` is what kumo man and whatis(1) read.
func newPage(name string, section int, title string) *page {
	p := &page{name: name, section: section, title: title}
	fmt.Fprintf(&p.b, ".TH %s %d %s kumo \"kumo manual\"\n", strings.ToUpper(name), section, edition)
	p.section1("NAME")
	fmt.Fprintf(&p.b, "%s \\- %s\n", name, roffText(title))
	return p
}

func (p *page) file() string { return fmt.Sprintf("%s.%d", p.name, p.section) }

func (p *page) section1(title string) { fmt.Fprintf(&p.b, ".SH %q\n", title) }

// text adds paragraphs, which are separated by empty lines. The first one follows what stands above without a gap.
func (p *page) text(text string) {
	for i, para := range paragraphs(text) {
		if i > 0 {
			p.b.WriteString(".PP\n")
		}
		p.fill(para)
	}
}

// more adds paragraphs with a gap above the first, too.
func (p *page) more(text string) {
	for _, para := range paragraphs(text) {
		p.b.WriteString(".PP\n")
		p.fill(para)
	}
}

// item adds a tagged paragraph. head is ready roff.
func (p *page) item(head string, texts ...string) {
	p.b.WriteString(".TP\n" + head + "\n")
	first := true
	for _, text := range texts {
		for _, para := range paragraphs(text) {
			if !first {
				p.b.WriteString(".IP\n")
			}
			first = false
			p.fill(para)
		}
	}
	if first {
		p.b.WriteString("\\&\n")
	}
}

// example adds literal text, indented; in an item, below the item's text.
func (p *page) example(code string, inItem bool) {
	if inItem {
		p.b.WriteString(".RS\n.PP\n")
	}
	p.b.WriteString(".RS 4\n.EX\n")
	for line := range strings.SplitSeq(strings.Trim(code, "\n"), "\n") {
		p.b.WriteString(guard(roffCode(line)) + "\n")
	}
	p.b.WriteString(".EE\n.RE\n")
	if inItem {
		p.b.WriteString(".RE\n")
	}
}

// seeAlso ends a page with references: "kumo-serve(1)".
func (p *page) seeAlso(refs ...string) {
	if len(refs) == 0 {
		return
	}
	p.section1("SEE ALSO")
	for i, ref := range refs {
		name, section, _ := strings.Cut(strings.TrimSuffix(ref, ")"), "(")
		comma := ","
		if i == len(refs)-1 {
			comma = ""
		}
		fmt.Fprintf(&p.b, ".BR %s (%s)%s\n", name, section, comma)
	}
}

// width is where lines of source end, so that changes of a page can be read.
const width = 78

// fill writes words, a new line for each sentence.
func (p *page) fill(text string) {
	var line string
	flush := func() {
		if line != "" {
			p.b.WriteString(guard(line) + "\n")
		}
		line = ""
	}
	for _, word := range strings.Fields(text) {
		w := roffText(word)
		if line != "" && len(line)+1+len(w) > width {
			flush()
		}
		if line != "" {
			line += " "
		}
		line += w
		if sentenceEnd.MatchString(word) {
			flush()
		}
	}
	flush()
}

var sentenceEnd = regexp.MustCompile(`[.!?][")']*$`)

// paragraphs splits at empty lines.
func paragraphs(text string) []string {
	var out []string
	for para := range strings.SplitSeq(text, "\n\n") {
		if para = strings.TrimSpace(para); para != "" {
			out = append(out, para)
		}
	}
	return out
}

// optionLike are the words in which a hyphen is a minus sign: flags, and what ends in a section number.
var optionLike = regexp.MustCompile(`^[("'\[]*--?[a-zA-Z]|\(\d\)|^[("']*-[)"',.;:]*$`)

// roffText escapes words of prose. Hyphens of flags are minus signs, so that they can be searched for and copied.
func roffText(text string) string {
	words := strings.Split(text, " ")
	for i, w := range words {
		e := strings.ReplaceAll(w, `\`, `\e`)
		if optionLike.MatchString(w) {
			e = strings.ReplaceAll(e, "-", `\-`)
		}
		words[i] = roffRunes(e)
	}
	return strings.Join(words, " ")
}

// roffCode escapes text that people copy: every character stays what it is.
func roffCode(code string) string {
	return roffRunes(codeEscapes.Replace(code))
}

var codeEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// roffRunes writes what is not ASCII by its number, since not every formatter reads UTF-8.
func roffRunes(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r == '…':
			b.WriteString("...") // ASCII terminals have no other
		default:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

// guard keeps a line of text from being read as a request.
func guard(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

func bold(code string) string { return `\fB` + roffCode(code) + `\fR` }

func italic(code string) string { return `\fI` + roffCode(code) + `\fR` }

// sentence makes a sentence of a text that may be only a phrase.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?:") {
		text += "."
	}
	return text
}
