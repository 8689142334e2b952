// A server of S3 for tests: it keeps objects in memory, checks signatures (version 4) and digests, and fails when
// told to. It prints its address and ends with its standard input.
//
//	POST /-/fail?times=2&status=503&method=PUT&path=log   answer so, that often
//	POST /-/fail?times=1&cut=100000&method=PUT             break the connection after so many bytes of a body
//	POST /-/fail?times=1&lost=1&method=POST                do what is asked for and break the connection
//	POST /-/spoil?path=log                                 change a byte of what is read from there on
//	GET  /-/requests                                       lines of METHOD PATH STATUS
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

type fault struct {
	times        int
	status       int
	cut          int64
	lost         bool
	method, path string
}

type server struct {
	next  http.Handler
	mutex sync.Mutex
	fault fault
	spoil string
	seen  []string
}

// due takes a fault that is meant for a request.
func (s *server) due(r *http.Request) (fault, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	f := s.fault
	if f.times == 0 || (f.method != "" && f.method != r.Method) || !strings.Contains(r.URL.RequestURI(), f.path) {
		return f, false
	}
	s.fault.times--
	return f, true
}

func (s *server) note(r *http.Request, status int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	query := r.URL.Query()
	for name := range query {
		if strings.HasPrefix(name, "X-Amz-") {
			query.Del(name)
		}
	}
	s.seen = append(s.seen, fmt.Sprintf("%s %s?%s %d", r.Method, r.URL.Path, query.Encode(), status))
}

type writer struct {
	http.ResponseWriter
	status int
	spoil  bool
}

func (w *writer) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(bytes []byte) (int, error) {
	if w.spoil && w.status == http.StatusOK && len(bytes) > 0 {
		bytes = append([]byte{bytes[0] ^ 1}, bytes[1:]...)
		w.spoil = false
	}
	return w.ResponseWriter.Write(bytes)
}

func (s *server) control(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	number := func(name string) int { n, _ := strconv.Atoi(query.Get(name)); return n }
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch r.URL.Path {
	case "/-/fail":
		s.fault = fault{
			times: number("times"), status: number("status"), cut: int64(number("cut")), lost: number("lost") > 0,
			method: query.Get("method"), path: query.Get("path"),
		}
	case "/-/spoil":
		s.spoil = query.Get("path")
	case "/-/requests":
		fmt.Fprintln(w, strings.Join(s.seen, "\n"))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/-/") {
		s.control(w, r)
		return
	}
	f, due := s.due(r)
	if due && !f.lost {
		s.note(r, f.status)
		if f.cut > 0 {
			_, _ = io.CopyN(io.Discard, r.Body, f.cut)
			panic(http.ErrAbortHandler)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>")
		return
	}
	s.mutex.Lock()
	spoil := s.spoil != "" && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, s.spoil)
	s.mutex.Unlock()
	if due {
		s.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	answer := &writer{ResponseWriter: w, status: http.StatusOK, spoil: spoil}
	s.next.ServeHTTP(answer, r)
	s.note(r, answer.status)
}

func main() {
	// Arguments: access key, secret key, and the buckets.
	backend := s3mem.New()
	for _, bucket := range os.Args[3:] {
		if err := backend.CreateBucket(context.Background(), bucket); err != nil {
			panic(err)
		}
	}
	fake := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{os.Args[1]: os.Args[2]}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	panic(http.Serve(listener, &server{next: fake.Server()}))
}
