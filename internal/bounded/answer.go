package bounded

import (
	"fmt"
	"io"
	"net/http"

	"hotreader"
)

const (
	maxAnswer  = 32 << 20 // bytes of an answer; the largest are pages of items
	maxProblem = 1 << 20  // of one that says what is wrong
)

// Answer makes resp's body one that ends: reading more of it than any right answer has fails.
func Answer(resp *http.Response) {
	most := int64(maxAnswer)
	if resp.StatusCode != http.StatusOK {
		most = maxProblem
	}
	resp.Body = &body{resp.Body, most, most}
}

type body struct {
	io.ReadCloser
	most, left int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &hotreader.Error{Code: hotreader.CodeProtocol, Err: fmt.Errorf("the answer is larger than %s; check the endpoint", size(b.most))}
	}
	return n, err
}

// Client sends requests as http.DefaultClient does, or Next, and bounds their answers.
type Client struct {
	Next interface {
		Do(*http.Request) (*http.Response, error)
	}
}

// Do is http.Client's.
func (c Client) Do(r *http.Request) (*http.Response, error) {
	if c.Next == nil {
		c.Next = http.DefaultClient
	}
	resp, err := c.Next.Do(r)
	if err == nil {
		Answer(resp)
	}
	return resp, err
}
