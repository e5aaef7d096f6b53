package azurecosmos

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"hotreader"
)

// answer is what the fake Cosmos DB says to one request.
type answer struct {
	status int // 0 = 200
	body   string
	header map[string]string
	fail   error // instead of an answer
	cut    int   // > 0: the body breaks off behind so many bytes
}

// sent is a request as it arrived.
type sent struct {
	method, url, body string
	header            http.Header
}

// fake is Cosmos DB behind the client's transport: it gives the answers in turn
// and keeps the requests. Once they are used up, it fails the test.
type fake struct {
	t        testing.TB
	mu       sync.Mutex
	answers  []answer
	requests []sent
	bodies   []*watchedBody
	serve    func(sent) answer // instead of answers
}

func newFake(t testing.TB, answers ...answer) *fake { return &fake{t: t, answers: answers} }

// docsKey is the key of the example in Microsoft's documentation.
const docsKey = "dsZQi3KtZmCv1ljt3VNWNm7sQUF1y5rJfC6kv5JiwvW0EndXdDku/dkKBp8/ufDToSxLzR4y+O/0H/t4bQtVNw=="

func (f *fake) client() *Client {
	c, err := NewClient(ClientOptions{Endpoint: "https://account.documents.azure.com:443/", Key: docsKey, Transport: f})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fake) store(o Options) *Store {
	if o.Database == "" {
		o.Database, o.Container = "twin", "hot"
	}
	return New(f.client(), o)
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var raw []byte
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	s := sent{r.Method, r.URL.String(), string(raw), r.Header.Clone()}
	f.requests = append(f.requests, s)
	var a answer
	switch {
	case f.serve != nil:
		a = f.serve(s)
	case len(f.answers) == 0:
		f.t.Errorf("request %d was not expected: %s %s", len(f.requests), s.url, s.body)
		return nil, fmt.Errorf("no answer is left")
	default:
		a, f.answers = f.answers[0], f.answers[1:]
	}
	if a.fail != nil {
		return nil, a.fail
	}
	if a.status == 0 {
		a.status = 200
	}
	header := http.Header{"Content-Type": {"application/json"}, "X-Ms-Activity-Id": {"00000000-activity"}}
	for k, v := range a.header {
		header.Set(k, v)
	}
	body := &watchedBody{Reader: strings.NewReader(a.body)}
	if a.cut > 0 {
		body.Reader = io.MultiReader(strings.NewReader(a.body[:a.cut]), brokenReader{})
	}
	f.bodies = append(f.bodies, body)
	return &http.Response{StatusCode: a.status, Header: header, Body: body, ContentLength: int64(len(a.body)), Request: r}, nil
}

// done checks that all answers were asked for and all bodies closed.
func (f *fake) done() {
	f.t.Helper()
	if len(f.answers) > 0 {
		f.t.Errorf("%d answers were never asked for", len(f.answers))
	}
	for i, b := range f.bodies {
		if !b.closed {
			f.t.Errorf("the body of answer %d was not closed", i+1)
		}
	}
}

type watchedBody struct {
	io.Reader
	closed bool
}

func (b *watchedBody) Close() error {
	b.closed = true
	return nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// pageOf spells a page as Cosmos DB does. token is its continuation, "" = none.
func pageOf(token string, items ...string) answer {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"_rid":"lHd5ANwF2Fg=","Documents":[%s],"_count":%d}`, strings.Join(items, ","), len(items))
	a := answer{body: b.String(), header: map[string]string{"x-ms-item-count": fmt.Sprint(len(items))}}
	if token != "" {
		a.header["x-ms-continuation"] = token
	}
	return a
}

// n is an item of a query for one property.
func n(time, digits string) string { return fmt.Sprintf(`{"t":%q,"p0":%s}`, time, digits) }

// refusal is an error as Cosmos DB spells it.
func refuse(status int, code, message string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"code":%q,"message":%q}`, code, message)}
}

// partitioned is what Cosmos DB says of a container.
func partitioned(path string) answer {
	return answer{body: fmt.Sprintf(`{"id":"hot","partitionKey":{"paths":[%q],"kind":"Hash","version":2},"_rid":"x"}`, path)}
}

// rows reads q and writes its rows as lines, "time value value".
func rows(t testing.TB, r hotreader.Source, q hotreader.Query) ([]string, error) {
	t.Helper()
	var lines []string
	for row, err := range hotreader.NewReader(r).Read(t.Context(), q) {
		if err != nil {
			return lines, err
		}
		line := row.Time.Format("15:04:05.999999999")
		for _, v := range row.Values {
			line += " " + v.String()
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func wantRows(t testing.TB, r hotreader.Source, q hotreader.Query, want ...string) {
	t.Helper()
	got, err := rows(t, r, q)
	if err != nil {
		t.Fatal(err)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("rows:\n%s\nwant:\n%s", g, w)
	}
}
