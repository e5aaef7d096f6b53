//go:build man

// Built with the tag man, the program writes its manual pages and the shells'
// completions into a folder. The program that is delivered does not carry what makes
// them.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func main() {
	if err := writeManual(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func writeManual(dir string) error {
	root := newApp(os.Stdin, os.Stdout, os.Stderr).root()
	for _, folder := range []string{"man", "completions"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o750); err != nil {
			return err
		}
	}
	for name, write := range map[string]func(string) error{
		"hotreader.bash": func(file string) error { return root.GenBashCompletionFileV2(file, true) },
		"_hotreader":     root.GenZshCompletionFile,
		"hotreader.fish": func(file string) error { return root.GenFishCompletionFile(file, true) },
	} {
		if err := write(filepath.Join(dir, "completions", name)); err != nil {
			return err
		}
	}
	asMarkdown(root)
	return doc.GenManTree(root, &doc.GenManHeader{Title: "HOTREADER", Section: "1", Source: "hotreader", Manual: "hotreader"}, filepath.Join(dir, "man"))
}

// asMarkdown has the help of a command, and of those below it, taken as it is: the
// generator reads it as Markdown.
func asMarkdown(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	paragraphs := strings.Split(cmd.Long, "\n\n")
	for i, text := range paragraphs {
		if strings.HasPrefix(text, " ") || strings.Contains(text, "\n  ") {
			paragraphs[i] = "    " + strings.ReplaceAll(text, "\n", "\n    ")
		} else {
			paragraphs[i] = escaped.Replace(text)
		}
	}
	cmd.Long = strings.Join(paragraphs, "\n\n")
	for _, sub := range cmd.Commands() {
		asMarkdown(sub)
	}
}

var escaped = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, "#", `\#`, "`", "\\`")
