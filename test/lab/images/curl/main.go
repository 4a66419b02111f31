// Command curl stands in for the program of that name where the lab's tests
// look into a pod: it prints what a URL answers. Of curl's flags it knows those
// that scripts use most; -f, -s and -S change nothing that it does.
//
//	curl [-f] [-s] [-S] [-m SECONDS] URL
//
// It exits with 22 for an answer of 400 and above as "curl -f" does, and with
// 7 if there is no answer.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	seconds := flag.Int("m", 10, "how many seconds it may take")
	for _, name := range []string{"f", "s", "S", "sS", "fs", "sf", "fsS", "sSf"} {
		flag.Bool(name, false, "nothing")
	}
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: curl [-f] [-s] [-S] [-m SECONDS] URL")
		os.Exit(2)
	}
	os.Exit(get(flag.Arg(0), time.Duration(*seconds)*time.Second))
}

func get(url string, limit time.Duration) (code int) {
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	client := http.Client{Timeout: limit}
	resp, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		return 7
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if resp.StatusCode >= http.StatusBadRequest {
		fmt.Fprintln(os.Stderr, "curl: the answer is", resp.Status)
		return 22
	}
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		return 18
	}
	return 0
}
