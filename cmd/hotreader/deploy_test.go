package main

import (
	"fmt"
	"strings"
	"testing"

	"hotreader/deploy"
)

// Of hundreds of changes those that are alike are one line, and none is lost.
func TestLongPlansAreSummarised(t *testing.T) {
	s := deploy.SidePlan{Cloud: "aws"}
	for i := range 300 {
		s.Changes = append(s.Changes, deploy.ResourceChange{Action: deploy.Create, What: "TwinMaker stack", Name: fmt.Sprintf("mill-device-%d", i)})
	}
	s.Changes = append(s.Changes,
		deploy.ResourceChange{Action: deploy.Destroy, What: "TwinMaker stack", Name: "mill-device-old"},
		deploy.ResourceChange{Action: deploy.Change, What: "function", Name: "mill-hot-reader", Fields: []string{"memory_size"}})
	var b strings.Builder
	a := newApp(strings.NewReader(""), &b, &b)
	printSide(&b, a.data, s)
	want := `aws: 300 to create, 1 to change, 1 to destroy
  + 300 × TwinMaker stack mill-device-0, mill-device-1, … mill-device-299
  - TwinMaker stack mill-device-old
  ~ function mill-hot-reader: memory_size
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	s.Changes = s.Changes[:manyChanges]
	b.Reset()
	printSide(&b, a.data, s)
	if n := strings.Count(b.String(), "mill-device-"); n != manyChanges {
		t.Errorf("of %d changes %d are shown", manyChanges, n)
	}
}
