package config

import (
	"fmt"
	"net/url"
	"strings"

	"hotreader/internal/endpoint"
)

// Lambda reads the environment of a function on AWS Lambda:
//
//	_HANDLER                   hot-reader, hot-reader-last-entry or hot-reader-api
//	DIGITAL_TWIN_INFO          the twin's name and the clouds of its layers
//	REMOTE_READER_URL          the API in the cloud of hot storage, if that is another
//	INTER_CLOUD_TOKEN          the token, or
//	INTER_CLOUD_TOKEN_SECRET   the ARN of the secret in AWS Secrets Manager that holds it
//	DYNAMODB_TABLE_NAME        the table, unless hot storage is remote
//	AWS_REGION                 set by Lambda
//	HOTREADER_DEVICE_KEY, HOTREADER_TIME_KEY, HOTREADER_TIME_FORMAT,
//	HOTREADER_RATE, HOTREADER_BURST, HOTREADER_LOG_LEVEL
//	HOTREADER_DEVICES          the devices that may be read, as pump-7,valve-*; all
//	                           if it is not set
//
// What a function has no use for is not asked of it: the API needs a table and
// a token but no twin; a reader needs the twin, and a table or else a URL and a
// token.
func Lambda(getenv func(string) string) (*Function, error) {
	e := &env{get: getenv}
	f := &Function{}
	if handler := getenv("_HANDLER"); handler == "" {
		e.bad("_HANDLER", "is not set; set the function's handler to one of %s, %s, %s", History, LastEntry, API)
	} else {
		f.Role = Role(e.word("_HANDLER", "handler", string(History), string(LastEntry), string(API)))
	}
	e.common(f, checkSecretARN)

	// With a broken route, whether the table is needed follows from what of it
	// can be read, so that a missing table is not found only after the repair.
	local := f.Role == API || f.L3 != "" && f.L3 == f.L4 || f.RemoteURL == "" && (f.L3 == "" || f.L4 == "")
	if local && f.Role != "" {
		f.Table = getenv("DYNAMODB_TABLE_NAME")
		if f.Table == "" {
			e.bad("DYNAMODB_TABLE_NAME", "is not set; want the name of hot storage's table")
		} else if wrong := checkTable(f.Table); wrong != "" {
			e.bad("DYNAMODB_TABLE_NAME", "%s", wrong)
		}
	}
	if strings.TrimSpace(getenv("AWS_REGION")) == "" {
		e.bad("AWS_REGION", "is not set; Lambda sets it, elsewhere it must be given, as eu-central-1")
	}
	for _, service := range []string{"", "_DYNAMODB", "_SECRETS_MANAGER", "_IOTTWINMAKER"} {
		e.awsEndpoint("AWS_ENDPOINT_URL" + service)
	}
	if err := e.err("environment of the Lambda function"); err != nil {
		return nil, err
	}
	return f, nil
}

// awsEndpoint checks the address of a service that is not where AWS has it. What
// comes from there in plain text, rows or a token, must not leave this machine.
func (e *env) awsEndpoint(name string) {
	text := strings.TrimSpace(e.get(name))
	if text == "" {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		e.bad(name, "is no URL of a service; want https://HOST")
	case u.Scheme == "http" && !endpoint.Loopback(u.Hostname()):
		e.bad(name, "is http to another machine; all would come in plain text; want https://%s", u.Host)
	}
}

// checkTable keeps DynamoDB's rule for names: 3 to 255 of a-z A-Z 0-9 _ - .
func checkTable(name string) string {
	const want = "; want 3 to 255 of a-z, A-Z, 0-9, _, - and ."
	for _, c := range name {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.') {
			return fmt.Sprintf("has the character %q, which no table's name has", c) + want
		}
	}
	if len(name) < 3 || len(name) > 255 {
		return "is no table's name" + want
	}
	return ""
}

// checkSecretARN does not repeat name: somebody may have put the token there.
func checkSecretARN(name string) string {
	// arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME
	p := strings.Split(name, ":")
	if len(p) != 7 || p[0] != "arn" || !strings.HasPrefix(p[1], "aws") || p[2] != "secretsmanager" ||
		p[3] == "" || len(p[4]) != 12 || p[5] != "secret" || p[6] == "" || strings.ContainsAny(name, " \t\r\n") {
		return "is not the ARN of a secret; want arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
	}
	return ""
}
