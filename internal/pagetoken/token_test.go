package pagetoken_test

import (
	"bytes"
	"testing"

	"hotreader/internal/pagetoken"
)

func TestToken(t *testing.T) {
	position, message, keys := []byte("at 7"), []byte("query at 7"), [][]byte{[]byte("new"), []byte("old")}
	for _, size := range []int{16, 32} {
		token := pagetoken.Sign(position, keys[1], message, size)
		got, sum, ok := pagetoken.Split(token, size)
		if !ok || !bytes.Equal(got, position) || len(sum) != size || !pagetoken.Signed(keys, message, sum) {
			t.Fatalf("%s: %q, %x, %v", token, got, sum, ok)
		}
		if pagetoken.Signed(keys[:1], message, sum) || pagetoken.Signed(keys, []byte("query at 8"), sum) || pagetoken.Signed(nil, message, sum) {
			t.Error("signed with another key, or of another message")
		}
		for _, other := range []string{"", "?", token + "\n", token + "=", token[:len(token)/2] + "\r\n" + token[len(token)/2:], "QUJ"} {
			if _, _, ok := pagetoken.Split(other, size); ok {
				t.Errorf("%q is taken", other)
			}
		}
	}
}
