// Package pagetoken signs the tokens by which a caller asks for the next page: a
// position, bound to the query that it belongs to. A token is base64url, without
// padding, of the position's bytes and a keyed hash (HMAC-SHA256, whole or its
// first bytes) of a message, which holds the position and the query.
package pagetoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// Sign returns the token of a position: with that many bytes of the hash of message.
func Sign(position, key, message []byte, size int) string {
	raw := hash(slices.Clip(position), key, message)
	return base64.RawURLEncoding.EncodeToString(raw[:len(position)+size])
}

// Split takes a token apart. It is not ok if Sign spells none so.
func Split(token string, size int) (position, sum []byte, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	at := len(raw) - size
	// The decoder passes over line breaks and spare bits.
	if err != nil || at < 1 || base64.RawURLEncoding.EncodeToString(raw) != token {
		return nil, nil, false
	}
	return raw[:at:at], raw[at:], true
}

// Signed reports whether sum is the hash of message with one of the keys.
func Signed(keys [][]byte, message, sum []byte) bool {
	ours := false
	for _, key := range keys {
		ours = hmac.Equal(hash(nil, key, message)[:len(sum)], sum) || ours
	}
	return ours
}

func hash(dst, key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(dst)
}

// AppendText appends s to a message, so that no two texts run together.
func AppendText(message []byte, s string) []byte {
	return append(binary.AppendUvarint(message, uint64(len(s))), s...)
}
