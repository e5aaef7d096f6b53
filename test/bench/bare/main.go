// Command bare is what the functions' programs are compared with: as little as a
// program can be that speaks HTTP with Go's net/http. As a Lambda function it
// asks for its first event; elsewhere it answers every request with "ok".
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	if api := os.Getenv("AWS_LAMBDA_RUNTIME_API"); api != "" {
		_, err := http.Get("http://" + api + "/2018-06-01/runtime/invocation/next")
		fmt.Fprintln(os.Stderr, "poll:", err)
		os.Exit(1)
	}
	err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // the caller may be gone
	}))
	fmt.Fprintln(os.Stderr, "serve:", err)
	os.Exit(1)
}
