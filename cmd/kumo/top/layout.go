package top

// The lines around the table, in the order in which they stand.
type line uint8

const (
	lineTitle  line = iota
	lineIn          // rate in, with its sparkline
	lineOut         // rate out
	lineTotals      // what waits
	lineStatus      // which list this is, its order and filter, and errors
	lineHeader      // names of the columns
	lineDetail      // all of the message under the cursor
	lineHelp        // keys
	lines
)

// worth is the order in which lines are given up when there is no room: the first one first.
var worth = [...]line{lineHelp, lineDetail, lineTotals, lineOut, lineIn, lineHeader, lineTitle, lineStatus}

// layout is which lines are shown, and how many rows of the table.
type layout struct {
	shown [lines]bool
	rows  int
}

// layout gives the table three rows at least before it gives room to anything else, one if there is no more.
func (m *Model) layout() layout {
	var l layout
	n := 0
	for i := range l.shown {
		l.shown[i] = line(i) != lineDetail || m.opened
		if l.shown[i] {
			n++
		}
	}
	for _, drop := range worth {
		least := 3
		if drop == lineTitle || drop == lineStatus {
			least = 1
		}
		if m.height-n >= least {
			break
		}
		if l.shown[drop] {
			l.shown[drop] = false
			n--
		}
	}
	l.rows = max(m.height-n, 1)
	return l
}

// column is one column of a table.
type column struct {
	title string
	width int  // least width; of the flexible ones, what they get beyond is shared
	flex  int  // share of the room that is left; 0: never wider
	right bool // numbers
	last  int  // when columns must go the highest goes first; 0 stays
}

const gap = "  "

// fit chooses the columns that a width has room for and gives them their widths. keep says which remain.
func fit(cols []column, width int) (widths []int, keep []bool) {
	keep = make([]bool, len(cols))
	for i := range keep {
		keep[i] = true
	}
	for {
		total, flex, goes := -len(gap), 0, -1
		for i, c := range cols {
			if !keep[i] {
				continue
			}
			total += c.width + len(gap)
			flex += c.flex
			if c.last > 0 && (goes < 0 || c.last > cols[goes].last) {
				goes = i
			}
		}
		if total > width && goes >= 0 {
			keep[goes] = false
			continue
		}
		return share(cols, keep, width-total, flex), keep
	}
}

// share gives the flexible columns the room that is left, or takes what is missing from them.
func share(cols []column, keep []bool, left, flex int) []int {
	widths := make([]int, len(cols))
	for i, c := range cols {
		if !keep[i] {
			continue
		}
		widths[i] = c.width
		if c.flex > 0 && flex > 0 {
			n := left * c.flex / flex
			widths[i] = max(widths[i]+n, 1)
			left -= n
			flex -= c.flex
		}
	}
	return widths
}
