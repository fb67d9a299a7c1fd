package main

import "strings"

// nearest is the flag that a misspelt name most likely meant, or empty. A name that
// was broken off ("max-conn") counts as near, else up to a third of it may differ.
func (t *flagTable) nearest(name string) string {
	var names []string
	for _, s := range t.settings {
		names = append(names, s.name)
	}
	return nearestOf(names, name)
}

func nearestOf(names []string, name string) string {
	best, distance := "", len(name)/3+1
	for _, known := range names {
		d := editDistance(name, known)
		if len(name) >= 3 && strings.HasPrefix(known, name) {
			d = 0
		}
		if d < distance {
			best, distance = known, d
		}
	}
	return best
}

// editDistance counts the single-byte insertions, deletions and replacements that
// turn a into b (Levenshtein's distance).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
