package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
	"hotreader/internal/shell"
)

// beginning are the arguments of init.
type beginning struct {
	app                  *app
	dir, name, hot, twin string
	days                 int
	devices, properties  nameList
	asJSON               bool
}

func (a *app) initer() *cobra.Command {
	b := &beginning{app: a}
	cmd := &cobra.Command{
		Use:   "init --project DIR",
		Short: "Write a project folder to begin with",
		Long: `Write a project folder: config.json, config_providers.json, config_iot_devices.json
and a .gitignore. On a terminal it asks for what the flags leave out. It never
changes a file that is there, and writes nothing where a project is already: edit its
files to add more. config_hot_reader.json, as inspect prints it, and a .gitignore may
be there before.

A property's type is double, integer, long, boolean or string; without one, double.`,
		Example: `  hotreader init --project twin
  hotreader init --project twin --name factory --hot aws --twin azure \
      --device pump-7 --property temperature,speed=integer,state=string`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&b.dir, "project", ".", "the `folder` to write; it is made if it is not there")
	f.StringVar(&b.name, "name", "", "the twin's `name`: a letter, then up to 20 letters, digits, _ or -")
	f.StringVar(&b.hot, "hot", "", "the `cloud` of hot storage: aws, azure or gcp")
	f.StringVar(&b.twin, "twin", "", "the `cloud` of the twin (default: that of hot storage)")
	f.IntVar(&b.days, "days", 30, "how many `days` hot storage keeps a row")
	f.Var(&b.devices, "device", "a device's id, as its rows carry it; repeat it, or separate ids by commas")
	f.Var(&b.properties, "property", "`name=type` of a property that each device has; repeat it, or separate them by commas")
	f.BoolVar(&b.asJSON, "json", false, "print JSON")
	f.SortFlags = false
	words(cmd, "hot", cloudWords...)
	words(cmd, "twin", cloudWords...)
	return cmd
}

// cloudWords are the clouds as flags name them.
var cloudWords = []string{"aws", "azure", "gcp"}

func (b *beginning) run(cmd *cobra.Command) error {
	if err := b.free(); err != nil {
		return err
	}
	for _, q := range b.questions() {
		if err := b.settle(cmd, q); err != nil {
			return err
		}
	}
	files, err := b.write()
	if err != nil {
		return err
	}
	a := b.app
	if b.asJSON {
		return a.printIndented(map[string]any{"project": b.dir, "files": files}, "  ")
	}
	for _, name := range files {
		fmt.Fprintln(a.stdout, filepath.Join(b.dir, name))
	}
	for _, name := range []string{"config_hot_reader.json", ".gitignore"} {
		if _, err := os.Lstat(filepath.Join(b.dir, name)); err == nil && !slices.Contains(files, name) {
			kept := ""
			if name == ".gitignore" {
				kept = "; see that it has the lines " + strings.Join(ignored, " and ") + ", which keep the token out"
			}
			a.note("%s was there, and is kept as it is%s", filepath.Join(b.dir, name), kept)
		}
	}
	me, dir := invocation(), shell.Word(b.dir)
	a.note("%s\n  %s validate --project %s\n  %s deploy --project %s --target local   # on this machine, with emulators\n  %s deploy --project %s                  # on the clouds",
		a.talk.Bold("Next:"), me, dir, me, dir, me, dir)
	return nil
}

// ignored are the lines of .gitignore.
var ignored = []string{"/" + config.WorkFolder + "/", "/config_inter_cloud.json"}

// free fails where files are there that init writes, or deploy.
func (b *beginning) free() error {
	var there, missing []string
	for _, name := range config.Files {
		_, err := os.Lstat(filepath.Join(b.dir, name))
		switch {
		case name == "config_hot_reader.json": // which inspect printed, perhaps: it stays
		case err == nil:
			there = append(there, name)
		case name != "config_inter_cloud.json":
			missing = append(missing, name)
		}
	}
	if there == nil {
		return nil
	}
	what := "edit the files"
	if missing != nil {
		what = "to have " + strings.Join(missing, ", ") + ", too, write another folder with --project and copy from it"
	}
	return &hotreader.Error{Op: "init", Code: hotreader.CodeConfig, Err: fmt.Errorf("the folder %s has %s already, so nothing is written; %s, then run: %s validate --project %s",
		b.dir, strings.Join(there, ", "), what, invocation(), shell.Word(b.dir))}
}

// question is what has to be known: a flag's value, or an answer.
type question struct {
	flag, text string
	optional   bool
	check      func() error // what is wrong with the flag's value
}

func (b *beginning) questions() []question {
	cloud := func(text *string) func() error {
		return func() error {
			c, err := config.ParseCloud(*text)
			*text = string(c)
			return err
		}
	}
	return []question{
		{"name", "The twin's name", false, func() error { return config.CheckTwinName(b.name) }},
		{"hot", "The cloud of hot storage (aws, azure, gcp)", false, cloud(&b.hot)},
		{"twin", "The cloud of the twin (aws, azure, gcp; nothing: the same)", true, cloud(&b.twin)},
		{"device", "A device's ID, as in its rows", false, func() error {
			for i, id := range b.devices {
				b.devices[i] = strings.TrimSpace(id)
			}
			return nil
		}},
		{"property", "Its properties, as temperature,state=string", false, func() error {
			_, err := b.declared()
			return err
		}},
	}
}

// settle takes what a flag says, or asks until an answer fits.
func (b *beginning) settle(cmd *cobra.Command, q question) error {
	if cmd.Flags().Changed(q.flag) {
		if err := q.check(); err != nil {
			return usagef("init: --%s: %v", q.flag, err)
		}
		return nil
	}
	missing := usagef("init: --%s is missing, so nothing is written", q.flag)
	for {
		text, err := "", io.EOF
		if terminal.Is(b.app.stdin) {
			text, err = b.app.ask(cmd.Context(), q.text+": ")
		}
		switch {
		case errors.Is(err, io.EOF) && !q.optional:
			return missing
		case errors.Is(err, io.EOF), text == "" && q.optional:
			return nil
		case err != nil:
			return err
		case text == "":
			continue
		}
		if err = cmd.Flags().Set(q.flag, text); err == nil {
			err = q.check()
		}
		if err == nil {
			return nil
		}
		b.app.note("  %v", err)
	}
}

// declared returns what config_iot_devices.json says of the properties, none if one of
// them is wrong.
func (b *beginning) declared() (all []map[string]string, err error) {
	for _, text := range b.properties {
		name, word, typed := strings.Cut(text, "=")
		name, word = strings.TrimSpace(name), strings.ToUpper(strings.TrimSpace(word))
		if !typed {
			word = "DOUBLE"
		}
		switch {
		case name == "":
			err = fmt.Errorf("%q has no name before its type", text)
		case slices.ContainsFunc(all, func(p map[string]string) bool { return p["name"] == name }):
			err = fmt.Errorf("%s is there twice", name)
		case !slices.Contains(config.DataTypes, word):
			err = fmt.Errorf("%s: type %q is unknown; %s; texts, lists and objects are string, numbers and texts that are numbers double", name, strings.ToLower(word), strings.ToLower(meantAndAll(word, config.DataTypes)))
		}
		if err != nil {
			b.properties = nil // to be asked for again
			return nil, err
		}
		all = append(all, map[string]string{"name": name, "dataType": word})
	}
	return all, nil
}

// write writes the files, all or none, and returns their names.
func (b *beginning) write() (written []string, err error) {
	properties, err := b.declared()
	if err != nil {
		return nil, err
	}
	var devices []map[string]any
	for _, id := range b.devices {
		devices = append(devices, map[string]any{"id": id, "properties": properties})
	}
	if b.twin == "" {
		b.twin = b.hot
	}
	if err := os.MkdirAll(b.dir, 0o750); err != nil {
		return nil, err
	}
	defer func() {
		for _, name := range written {
			if err != nil {
				_ = os.Remove(filepath.Join(b.dir, name))
			}
		}
	}()
	for _, file := range []struct {
		name string
		doc  any
	}{
		{"config.json", map[string]any{"digital_twin_name": b.name, "hot_storage_size_in_days": b.days}},
		{"config_providers.json", map[string]any{"layer_3_hot_provider": b.hot, "layer_4_provider": b.twin}},
		{"config_iot_devices.json", devices},
	} {
		text, err := json.MarshalIndent(file.doc, "", "  ")
		if err != nil {
			return written, err
		}
		if err := create(filepath.Join(b.dir, file.name), string(text)+"\n"); err != nil {
			return written, err
		}
		written = append(written, file.name)
	}
	if _, err := deploy.Check(b.dir); err != nil {
		return written, err
	}
	switch err := create(filepath.Join(b.dir, ".gitignore"), strings.Join(ignored, "\n")+"\n"); {
	case err == nil:
		written = append(written, ".gitignore")
	case !errors.Is(err, fs.ErrExist):
		return written, err
	}
	return written, nil
}

// create writes a file that must not be there yet.
func create(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // #nosec G302 -- no secret is in it
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
