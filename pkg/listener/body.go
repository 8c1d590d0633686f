package listener

import "bytes"

// body takes one message out of the stream (RFC 5321 4.1.1.4): it finds the end, takes away the dots that the peer
// has stuffed, and notices everything for which the message will be refused. The message is built in place, at the
// beginning of the buffer that it is read into.
//
// Only CRLF "." CRLF ends the data; the CRLF of the DATA command counts as the first. A bare LF or CR never does,
// in any combination, and a dot after one is not a stuffed dot.
type body struct {
	max       int  // largest message
	limit     int  // longest line without CRLF
	keepBare  bool // bare CR and LF will be mended and are no reason to drop the message
	out       int  // buf[:out] is the message so far
	in        int  // buf[in:] has not been taken; the start of a line unless middle
	seen      int  // buf[in:seen] holds no LF
	pairs     int  // CRLFs in the message
	bareLF    bool
	afterBare bool // the line before in ended in a bare LF
	middle    bool // what lay before in, of the same line, has been dropped
	longLine  bool
	tooBig    bool
	total     int // bytes taken from the stream
}

// scan takes what is complete of buf[b.in:w] and reports whether the end of the data was among it. Then
// buf[:b.out] is the message and buf[b.in:w] is what follows the data.
func (b *body) scan(buf []byte, w int) bool {
	for {
		b.run(buf, w)
		i := bytes.IndexByte(buf[b.seen:w], '\n')
		if i < 0 {
			b.seen = w
			b.judge(w)
			return false
		}
		end := b.seen + i + 1
		line := buf[b.in:end]
		crlf := len(line) > 1 && line[len(line)-2] == '\r'
		if line[0] == '.' && !b.afterBare && !b.middle {
			if crlf && len(line) == 3 {
				b.total += 3
				b.in, b.seen = end, end
				return true
			}
			line = line[1:]
		}
		b.take(buf, line, crlf)
		b.total += end - b.in
		b.in, b.seen = end, end
		b.afterBare, b.middle = !crlf, false
	}
}

// run takes lines that need no thought, as nearly all do: of ordinary length, ended by CRLF, without a dot in front.
func (b *body) run(buf []byte, w int) {
	if b.seen != b.in || b.afterBare || b.middle || b.dropping() {
		return
	}
	at, pairs, limit := b.in, 0, b.limit+1
	for {
		i := bytes.IndexByte(buf[at:w], '\n')
		if i < 1 || i > limit || buf[at+i-1] != '\r' || buf[at] == '.' {
			break
		}
		at += i + 1
		pairs++
	}
	n := at - b.in
	if b.out+n > b.max {
		// Where it became too big does not matter, but that the rest is dropped does.
		b.tooBig = true
		b.out = 0
	} else {
		if b.out != b.in {
			copy(buf[b.out:], buf[b.in:at])
		}
		b.out += n
	}
	b.pairs += pairs
	b.total += n
	b.in, b.seen = at, at
}

// take appends a line to the message.
func (b *body) take(buf, line []byte, crlf bool) {
	n := len(line) - 2
	if crlf {
		b.pairs++
	} else {
		b.bareLF = true
		n++
	}
	b.longLine = b.longLine || n > b.limit
	if b.out += len(line); b.out > b.max {
		b.tooBig = true
	}
	if b.dropping() {
		b.out = 0
		return
	}
	if at := b.out - len(line); &buf[at] != &line[0] {
		copy(buf[at:], line)
	}
}

// judge looks at the incomplete line before w: it need not end to be too long.
func (b *body) judge(w int) {
	if n := w - b.in; n > b.limit+3 {
		b.longLine = true
	}
	// Three bytes of it may turn out to be the end.
	if b.out+w-b.in > b.max+3 {
		b.tooBig = true
	}
}

// dropping reports that the message is lost already: only its end is still of interest.
func (b *body) dropping() bool {
	return b.tooBig || (!b.keepBare && (b.bareLF || b.longLine))
}

// compact makes room in buf when the message is lost: of an incomplete line it keeps what decides whether the line
// is the end of the data, which is all of a short one and the last byte of a long one. It returns the new w.
func (b *body) compact(buf []byte, w int) int {
	rest := buf[b.in:w]
	if len(rest) > 3 {
		b.total += len(rest) - 1
		rest = rest[len(rest)-1:]
		b.middle = true
	}
	copy(buf, rest)
	b.out, b.in, b.seen = 0, 0, len(rest)
	return len(rest)
}

// bare reports whether the finished message has a CR or LF that is not part of a CRLF. Counting all CRs at once is
// ten times as fast as looking for them line by line.
func (b *body) bare(buf []byte) bool {
	return b.bareLF || bytes.Count(buf[:b.out], []byte{'\r'}) != b.pairs
}

// mend makes CRLF of every bare CR and LF and reports the longest line of the result, without CRLF.
func mend(msg []byte) (fixed []byte, longest int) {
	fixed = make([]byte, 0, len(msg)+len(msg)/32+2)
	start := 0
	for i := 0; i < len(msg); i++ {
		c := msg[i]
		if c != '\r' && c != '\n' {
			fixed = append(fixed, c)
			continue
		}
		if c == '\r' && i+1 < len(msg) && msg[i+1] == '\n' {
			i++
		}
		longest = max(longest, len(fixed)-start)
		fixed = append(fixed, '\r', '\n')
		start = len(fixed)
	}
	return fixed, max(longest, len(fixed)-start)
}
