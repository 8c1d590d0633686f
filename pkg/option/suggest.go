package option

import "strings"

// Suggest returns the name nearest to the misspelt word, or "" when none is near: at most one edit in three
// characters, letter case and "-" for "_" not counted. The first of equally near names wins.
func Suggest(word string, names []string) string {
	if len(word) > 64 {
		return ""
	}
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	w := fold(word)
	best, limit := "", max(1, len(w)/3)+1
	for _, n := range names {
		if d := distance(w, fold(n), limit); d < limit {
			best, limit = n, d
		}
	}
	return best
}

// distance is the optimal string alignment distance (insert, delete, replace, swap neighbours) of a and b, or
// anything >= limit when it is at least limit.
func distance(a, b string, limit int) int {
	if abs(len(a)-len(b)) >= limit {
		return limit
	}
	var rows [3][]int
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, prev, cur := rows[(i+1)%3], rows[(i-1)%3], rows[i%3]
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
