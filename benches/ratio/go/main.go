// A constant answer by net/http: what gavel's whole bid is compared with. One processor, as gavel has one worker.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

func main() {
	size, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	runtime.GOMAXPROCS(1)
	body := bytes.Repeat([]byte("x"), size)
	length := strconv.Itoa(size)
	answer := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Openrtb-Version", "2.6")
		w.Header().Set("Content-Length", length)
		w.Write(body)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n%s\n", listener.Addr(), listener.Addr())
	go func() {
		log.Fatal(http.Serve(listener, http.HandlerFunc(answer)))
	}()
	// Until the parent is gone.
	io.Copy(io.Discard, os.Stdin)
}
