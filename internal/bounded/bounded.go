// Package bounded reads files that people name, which may be devices without an end.
package bounded

import (
	"fmt"
	"io"
	"os"
)

// Text is the most bytes of a file that people write.
const Text = 1 << 20

// ReadFile reads a file of at most so many bytes. Its errors name the file.
func ReadFile(name string, most int64) ([]byte, error) {
	f, err := os.Open(name) // #nosec G304 -- the caller's own file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read
	text, err := ReadAll(f, most)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return text, nil
}

// ReadAll reads all of r, which has at most so many bytes.
func ReadAll(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("is larger than %s", size(most))
	}
	return text, nil
}

func size(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d MB", n>>20)
}
