package azureblob_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/azureblob"
)

// What Azure is asked, the states that it lists, and its refusals.
func TestRestore(t *testing.T) {
	t.Setenv("AZURE_STORAGE_KEY", "a2V5")
	var asked []string
	status, code := http.StatusAccepted, ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `<EnumerationResults><Blobs>`)
			for i, of := range []string{"<AccessTier>Archive</AccessTier>", "<AccessTier>Archive</AccessTier><ArchiveStatus>rehydrate-pending-to-hot</ArchiveStatus>", "<AccessTier>Hot</AccessTier>"} {
				fmt.Fprintf(w, "<Blob><Name>%d</Name><Properties>%s</Properties></Blob>", i, of)
			}
			fmt.Fprint(w, `</Blobs></EnumerationResults>`)
			return
		}
		asked = append(asked, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("x-ms-access-tier"), " ", r.Header.Get("x-ms-rehydrate-priority")))
		w.Header().Set("x-ms-error-code", code)
		w.WriteHeader(status)
	}))
	defer s.Close()
	b, err := azureblob.New(azureblob.Options{Account: "a", Container: "c", Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	for page, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []coldstore.State{coldstore.Archived, coldstore.Ongoing, coldstore.Online} {
			if got := page.Objects[i].State(); got != want {
				t.Errorf("%+v is %s, want %s", page.Objects[i], got, want)
			}
		}
	}
	for _, c := range []struct {
		tier   string
		status int
		code   string
		want   hotreader.Code
	}{
		{"expedited", 202, "", ""}, {"standard", 202, "", ""}, {"standard", 409, "BlobBeingRehydrated", ""},
		{"standard", 403, "AuthorizationPermissionMismatch", hotreader.CodeForbidden}, {"standard", 404, "BlobNotFound", hotreader.CodeUnavailable},
		{"standard", 404, "ContainerNotFound", hotreader.CodeNotFound},
	} {
		status, code = c.status, c.code
		err := azureblob.Restorer{Bucket: b}.Restore(t.Context(), &coldstore.Object{Key: "k"}, c.tier, 7)
		if got := hotreader.CodeOf(err); err == nil && c.want != "" || err != nil && got != c.want {
			t.Errorf("%d %s: %v", c.status, c.code, err)
		}
	}
	if asked[0] != "PUT /c/k?comp=tier Hot High" || asked[1] != "PUT /c/k?comp=tier Hot Standard" {
		t.Errorf("%q", asked)
	}
}

// A list that begins far before the key that is looked for is no list without objects.
func TestListsLongBefore(t *testing.T) {
	t.Setenv("AZURE_STORAGE_KEY", "a2V5")
	const pages = 1100
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("marker"))
		fmt.Fprintf(w, `<EnumerationResults><Blobs><Blob><Name>%06d</Name><Properties><Content-Length>1</Content-Length></Properties></Blob></Blobs>`, n)
		if n++; n < pages {
			fmt.Fprintf(w, "<NextMarker>%d</NextMarker>", n)
		}
		fmt.Fprint(w, "</EnumerationResults>")
	}))
	defer s.Close()
	b, err := azureblob.New(azureblob.Options{Account: "a", Container: "c", Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range coldstore.List(t.Context(), b, "0", fmt.Sprintf("%06d", pages-2)) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != pages {
		t.Errorf("%d pages", n)
	}
}
