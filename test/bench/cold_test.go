//go:build linux

package bench

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"hotreader/test/serving"
)

// coldMemory is what a process may have in memory, in bytes.
const coldMemory = 96e6

// coldRows are those of a day, a second apart, which one object holds.
const coldRows = 24 * 60 * 60

// A reading is a row as Parquet has it.
type reading struct {
	Device      string    `parquet:"device_id,dict"`
	Time        time.Time `parquet:"timestamp,timestamp(millisecond)"`
	Temperature float64   `parquet:"temperature"`
	Pressure    float64   `parquet:"pressure"`
	Humidity    float64   `parquet:"humidity"`
}

// readings are the rows from one to another: random walks of two decimals.
func readings(from, to int) (rows []reading) {
	r := rand.New(rand.NewPCG(7, uint64(from)))
	next := func(level *float64, step float64) float64 {
		*level += step * r.NormFloat64()
		return math.Round(*level*100) / 100
	}
	level := [3]float64{20, 1000, 50}
	for i := from; i < to; i++ {
		rows = append(rows, reading{"d", at(i), next(&level[0], 0.1), next(&level[1], 0.3), next(&level[2], 0.05)})
	}
	return rows
}

// A coldFormat writes the rows from one to another as an object.
type coldFormat struct {
	name, ending string
	write        func(w io.Writer, from, to int) error
}

var coldFormats = []coldFormat{
	{"lines", ".jsonl", writeLines},
	{"gzip", ".jsonl.gz", func(w io.Writer, from, to int) error {
		z := gzip.NewWriter(w)
		return errors.Join(writeLines(z, from, to), z.Close())
	}},
	{"Parquet", ".parquet", func(w io.Writer, from, to int) error {
		return parquet.Write(w, readings(from, to), parquet.Compression(&parquet.Zstd))
	}},
}

func writeLines(w io.Writer, from, to int) error {
	var b bytes.Buffer
	for _, r := range readings(from, to) {
		fmt.Fprintf(&b, `{"device_id":"d","timestamp":"%s","temperature":%.2f,"pressure":%.2f,"humidity":%.2f}`+"\n", r.Time.Format("2006-01-02T15:04:05.000Z"), r.Temperature, r.Pressure, r.Humidity)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// BenchmarkCold: rows of three numbers go from a bucket over a link to a server that has
// them as cold storage, and from there to a remote reader: three processes. The time is
// compared with that of fetching the objects over the same link, one after the other, and
// throwing them away; memory is the most that was resident. The server keeps no answers.
func BenchmarkCold(b *testing.B) {
	const rows = 10_000_000
	for _, f := range coldFormats {
		b.Run(f.name, func(b *testing.B) {
			dir := b.TempDir()
			keys, err := f.objects(dir, rows)
			if err != nil {
				b.Fatal(err)
			}
			_, _, out := child(b, "bucket", storePath+"="+dir)
			bucket := "http://" + farLink(b, address(b, out))
			hot := filepath.Join(b.TempDir(), "hot.db")
			fillStore(b, hot, 0)
			server := serving.Start(b, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": token, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"},
				"serve", "--store", "bolt:"+hot, "--cold", "s3://bucket/cold/?region=eu-central-1&endpoint="+bucket, "--cache", "0", "--max-rows", strconv.Itoa(2*rows))
			server.WaitReady(b)
			var ours, plain, busy []float64
			var peak int64
			for b.Loop() {
				from := time.Now()
				var bytes int64
				for _, key := range keys {
					n, err := fetchAway(bucket + "/bucket/" + key)
					if bytes += n; err != nil {
						b.Fatal(err)
					}
				}
				plain = append(plain, time.Since(from).Seconds())
				b.ReportMetric(float64(bytes)/1e6, "MB-objects")
				from, cpu := time.Now(), processorTime(b, server.Pid())
				reader, in, out := child(b, "read", apiURL+"="+server.URL)
				var n int
				if _, err := fmt.Fscan(out, &n); err != nil || n != rows {
					b.Fatalf("%d of %d rows came, %v\n%s", n, rows, err, server.Log())
				}
				ours = append(ours, time.Since(from).Seconds())
				busy = append(busy, (processorTime(b, server.Pid()) - cpu + processorTime(b, reader.Process.Pid)).Seconds())
				peak = max(peak, resident(b, reader.Process.Pid))
				_ = in.Close() // lets it end
			}
			served := resident(b, server.Pid())
			if max(peak, served) > coldMemory {
				b.Errorf("the reader had %d bytes, the server %d", peak, served)
			}
			b.ReportMetric(float64(peak)/1e6, "MB-reader")
			b.ReportMetric(float64(served)/1e6, "MB-server")
			b.ReportMetric(median(ours), "s")
			b.ReportMetric(median(busy)/rows*1e9, "processor-ns/row")
			b.ReportMetric(median(plain), "s-bytes-alone")
			b.ReportMetric(ratio(ours, plain), "s/bytes-alone")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// objects writes rows below a folder, those of each day as an object, and returns the keys.
func (f *coldFormat) objects(dir string, rows int) (keys []string, err error) {
	for from := 0; from < rows; from += coldRows {
		key := at(from).Format("cold/dt=2006-01-02/part") + f.ending
		name := filepath.Join(dir, key)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, err
		}
		file, err := os.Create(name)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(f.write(file, from, min(from+coldRows, rows)), file.Close()); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func fetchAway(url string) (int64, error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return io.Copy(io.Discard, resp.Body)
}

// resident returns the most memory that a process had so far, in bytes, with the pages of
// files.
func resident(b *testing.B, pid int) (bytes int64) {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &bytes); err != nil {
		b.Fatal(err)
	}
	return bytes << 10
}

// serveBucket serves a folder as S3 does, as far as a reader needs it.
func serveBucket() error {
	dir := os.Getenv(storePath)
	type object struct {
		Key, ETag, LastModified string
		Size                    int64
	}
	type list struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Name     string
		Contents []object
	}
	return listen(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := strings.CutPrefix(r.URL.Path, "/bucket/")
		if key != "" && key != r.URL.Path {
			w.Header().Set("ETag", `"1"`)
			http.ServeFile(w, r, filepath.Join(dir, key))
			return
		}
		l := list{Name: "bucket"}
		_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			key, _ := filepath.Rel(dir, name) // it is below
			if q := r.URL.Query(); strings.HasPrefix(key, q.Get("prefix")) && key > q.Get("start-after") {
				l.Contents = append(l.Contents, object{key, `"1"`, info.ModTime().UTC().Format(time.RFC3339), info.Size()})
			}
			return nil
		})
		_ = xml.NewEncoder(w).Encode(l) // the client may have gone
	})})
}
