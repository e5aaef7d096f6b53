package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tokenKeys are the keys under which a secret of keys and values may hold the token, in
// any letter case, with or without _ and -.
var tokenKeys = []string{"token", "intercloudtoken", "value", "current"}

const previousKey = "previous"

// plainText returns the token in text. Secrets are often made in a cloud's console,
// which stores keys and values as JSON: of these the one is taken whose key says that
// it is the token. No error has a value in it.
func plainText(text string) (string, error) {
	raw := []byte(strings.TrimSpace(text))
	if !json.Valid(raw) || !strings.ContainsRune(`{["`, rune(raw[0])) {
		return text, nil
	}
	var all map[string]json.RawMessage
	if raw[0] != '{' || json.Unmarshal(raw, &all) != nil {
		return "", errors.New("the secret is JSON, but no object of keys and values; text is expected")
	}
	keys := slices.Sorted(maps.Keys(all))
	var found []string
	previous := ""
	for _, key := range keys {
		name := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
		var value string
		if json.Unmarshal(all[key], &value) != nil {
			continue
		}
		switch {
		case slices.Contains(tokenKeys, name):
			found = append(found, value)
		case name == previousKey && value != "":
			previous = "," + value
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("the secret is JSON with keys %.200s; text is expected, or the token under one of the keys token, INTER_CLOUD_TOKEN, value and current", strings.Join(keys, ", "))
	}
	return found[0] + previous, nil
}
