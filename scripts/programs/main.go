// Command programs prints how large the functions' programs are and how long
// they take to start, with a bare net/http program beside them that is built and
// started in the same run. A program is built as `make dist` builds it.
//
// It exits with 1 if a program is larger than it may be: sizes are the same on
// every machine. Times are printed and never judged. On a terminal it prints
// tables; elsewhere one line for each program and platform, tab-separated, in
// bytes and milliseconds.
//
//	go run ./scripts/programs [-n 40]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"time"
)

func main() {
	starts := flag.Int("n", 40, "starts of each program")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, programs, *starts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "programs:", err)
		os.Exit(1)
	}
}

// A program is what runs as a function.
type program struct {
	name      string
	source    string   // as ./cmd/hotreader-lambda
	platforms []string // linux/amd64 and so on: what is delivered
	tags      string   // of the build
	limit     int64    // bytes of the program, unpacked
	goal      float64  // ms from exec to ready, which is printed only; 0 = none
	port      string   // the variable with the port to serve on; "" = it is a Lambda function
	env       []string // what it needs to start
}

const mb = 1_000_000

// farToken and twin are what the functions want to see before they start. None of
// the stores is there: a start does not wait for one.
const farToken = "INTER_CLOUD_TOKEN=0123456789abcdef0123456789abcdef"

func twin(l3, l4 string) string {
	return `DIGITAL_TWIN_INFO={"config":{"digital_twin_name":"factory"},"config_providers":{"layer_3_hot_provider":"` + l3 + `","layer_4_provider":"` + l4 + `"}}`
}

var programs = []program{
	{name: "hotreader-lambda", source: "./cmd/hotreader-lambda", platforms: []string{"linux/amd64", "linux/arm64"},
		tags: "lambda.norpc", limit: 12 * mb, goal: 20,
		env: []string{twin("aws", "aws"), "DYNAMODB_TABLE_NAME=factory-hot-iot-data"}},
	{name: "hotreader-azure", source: "./cmd/hotreader-azure", platforms: []string{"linux/amd64", "linux/arm64"},
		limit: 12 * mb, port: "FUNCTIONS_CUSTOMHANDLER_PORT",
		env: []string{twin("azure", "gcp"), farToken, "COSMOS_DB_ENDPOINT=http://127.0.0.1:1", "COSMOS_DB_KEY=a2V5",
			"COSMOS_DB_DATABASE=factory", "COSMOS_DB_CONTAINER=hot"}},
	{name: "hotreader-cloudrun", source: "./cmd/hotreader-cloudrun", platforms: []string{"linux/amd64"},
		limit: 22 * mb, port: "PORT",
		env: []string{twin("google", "aws"), farToken, "GOOGLE_CLOUD_PROJECT=plant-1", "FIRESTORE_COLLECTION=hot",
			"FIRESTORE_EMULATOR_HOST=127.0.0.1:1"}},
}

// bareSource is the program to compare with.
const bareSource = "./scripts/programs/bare"

// A figure is what was measured of one program on one platform.
type figure struct {
	program    program
	platform   string
	size, bare int64 // bytes

	delivered          bool // else it was built only to be started here
	started            bool // on this machine's platform only
	starts, bareStarts spread
}

// run measures all programs, prints to out, and returns an error if a program is
// too large.
func run(ctx context.Context, out *os.File, programs []program, starts int) error {
	if starts < 1 {
		return errors.New("-n: at least one start of each program is needed")
	}
	temp, err := os.MkdirTemp("", "hotreader-programs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	b := builder{ctx: ctx, dir: temp}
	var figures []figure
	for _, p := range programs {
		measured, err := measure(ctx, &b, p, starts)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		figures = append(figures, measured...)
	}
	write := writeLines
	if terminal(out) {
		write = writeTables
	}
	if err := write(out, figures, starts); err != nil {
		return err
	}
	return tooLarge(figures)
}

// terminal tells a terminal from a pipe or a file. Any other device passes for
// one, which does no harm.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func measure(ctx context.Context, b *builder, p program, starts int) ([]figure, error) {
	here := runtime.GOOS + "/" + runtime.GOARCH
	platforms := p.platforms
	if !slices.Contains(platforms, here) {
		platforms = append(slices.Clip(platforms), here) // to be started, not delivered
	}
	var figures []figure
	for _, platform := range platforms {
		f := figure{program: p, platform: platform, delivered: slices.Contains(p.platforms, platform)}
		path, err := b.build(p.source, platform, p.tags)
		if err != nil {
			return nil, err
		}
		bare, err := b.build(bareSource, platform, "")
		if err != nil {
			return nil, err
		}
		if f.size, err = sizeOf(path); err != nil {
			return nil, err
		}
		if f.bare, err = sizeOf(bare); err != nil {
			return nil, err
		}
		if f.started = platform == here; f.started {
			if f.starts, f.bareStarts, err = compare(ctx, p, path, bare, starts); err != nil {
				return nil, err
			}
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// compare starts the program at path and the bare one, in turn, so that
// whatever slows the machine down slows both. The first start of each, which
// reads the file from disk, does not count.
func compare(ctx context.Context, p program, path, bare string, starts int) (ours, theirs spread, err error) {
	barePort := ""
	if p.port != "" {
		barePort = "PORT"
	}
	var a, b []time.Duration
	for i := range starts + 1 {
		one, err := start(ctx, path, p.port, p.env)
		if err != nil {
			return ours, theirs, err
		}
		other, err := start(ctx, bare, barePort, nil)
		if err != nil {
			return ours, theirs, fmt.Errorf("%s: %w", bareSource, err)
		}
		if i > 0 {
			a, b = append(a, one), append(b, other)
		}
	}
	return spreadOf(a), spreadOf(b), nil
}

// tooLarge names every delivered program that is larger than it may be.
func tooLarge(figures []figure) error {
	var all []error
	for _, f := range figures {
		if f.delivered && f.size > f.program.limit {
			all = append(all, fmt.Errorf("%s for %s has %d bytes, %d more than it may have; `go version -m` on it lists the modules it links",
				f.program.name, f.platform, f.size, f.size-f.program.limit))
		}
	}
	return errors.Join(all...)
}

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
