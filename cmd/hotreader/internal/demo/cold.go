package demo

import (
	"encoding/json"
	"os"
	"path/filepath"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
)

// A mover has copied the older half of the rows into cold storage, and has deleted only
// some of them from hot storage: the rows between lie in both.
const (
	hotFrom = Rows / 4
	coldTo  = Rows / 2
	chunk   = 480 // rows of an object
)

// cool makes the cloud's cold storage, a folder with the objects of a mover.
func (c *Cloud) cool(dir string) error {
	for from := 0; from < coldTo; from += chunk {
		if err := writeObject(dir, c.truth[from:from+chunk]); err != nil {
			return err
		}
	}
	b, err := folder.Open(dir)
	if err != nil {
		return err
	}
	c.bucket = b
	c.cold, err = coldstore.New(b, coldstore.Options{})
	return err
}

// writeObject writes rows as an array of items.
func writeObject(dir string, records []hotreader.Record) error {
	var items []map[string]any
	for _, r := range records {
		at := stamp(r.Time)
		item := map[string]any{"device_id": Device, "timestamp": at, "id": Device + "_" + at}
		for _, f := range r.Fields {
			switch v := f.Value; v.Kind() {
			case hotreader.Number:
				item[f.Name] = json.Number(v.Text())
			case hotreader.Bool:
				item[f.Name] = v.Bool()
			default:
				item[f.Name] = string(v.Text())
			}
		}
		items = append(items, item)
	}
	text, err := json.Marshal(items)
	if err != nil {
		return err
	}
	dir = filepath.Join(dir, Device, stamp(records[0].Time)+"-"+stamp(records[len(records)-1].Time))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "chunk-00000.json"), text, 0o600)
}
