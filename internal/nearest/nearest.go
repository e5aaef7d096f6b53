// Package nearest finds the word that a mistyped one was meant to be.
package nearest

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Word returns that of words which word most likely means, in any letter case,
// and "" if none comes close: at most a third of its letters, and one at least,
// may be wrong, missing, added or swapped with their neighbour. A word of which
// three letters or more have been typed is close, too.
func Word(word string, words []string) string {
	lower := strings.ToLower(word)
	typed := letters(lower)
	best, least := "", 0
	for _, w := range words[:min(len(words), most)] {
		whole := strings.ToLower(w)
		full := letters(whole)
		d := len(full) + len(typed)
		if max(len(full), len(typed)) <= long {
			d = distance(typed, full)
		}
		if len(typed) >= 3 && strings.HasPrefix(whole, lower) {
			d = 1
		}
		if d <= max(1, len(full)/3) && d < len(full) && (best == "" || d < least) {
			best, least = w, d
		}
	}
	return best
}

// First returns words with that in front which word most likely means.
func First(word string, words []string) []string {
	i := slices.Index(words, Word(word, words))
	if i < 0 {
		return words
	}
	return slices.Insert(slices.Delete(slices.Clone(words), i, i+1), 0, words[i])
}

// Listed writes words of people for a message, with commas between. A word that would run
// into the text around it, as one with a comma or a question mark, is in quotes.
func Listed(words ...string) string {
	var all []string
	for _, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.IsPunct(r) && !strings.ContainsRune("_-./:#@%&*", r)
		}) {
			w = strconv.Quote(w)
		}
		all = append(all, w)
	}
	return strings.Join(all, ", ")
}

// Names may be hostile: the time to compare two grows with the product of their lengths.
const (
	long = 64   // letters of a word; longer ones are close only as a beginning
	most = 2000 // words; those after them are not compared
)

// letters returns those of a word; of a long one, as many as show that it is.
func letters(word string) []rune { return []rune(word[:min(len(word), 4*long+4)]) }

// distance counts the letters to change, add, drop or swap to turn a into b
// (optimal string alignment).
func distance(a, b []rune) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		older, old, row = old, row, older
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
