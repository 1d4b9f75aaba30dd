// Command front stands before kwok as the kubelet of every node, for one thing that kwok cannot do:
// end a followed log when its container has ended. kwok's log reader takes every container for a
// running one, so "kubectl logs -f" of a finished Job would hang for ever. Everything else is passed
// on as it is, upgrades included.
package main

import (
	"crypto/tls"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

const quiet = 400 * time.Millisecond

func main() {
	listen := flag.String("listen", "", "address to serve on")
	to := flag.String("to", "", "URL of kwok's server")
	cert := flag.String("cert", "", "certificate")
	key := flag.String("key", "", "its key")
	index := flag.String("index", "", "directory of links NAMESPACE/POD/CONTAINER to log files")
	flag.Parse()
	target, err := url.Parse(*to)
	if err != nil {
		log.Fatal(err)
	}
	transport := &http.Transport{
		// kwok has a certificate of the same authority; both sides are this machine's loopback.
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		TLSNextProto:      map[string]func(string, *tls.Conn) http.RoundTripper{},
		DisableKeepAlives: true,
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	proxy.FlushInterval = -1
	handler := func(w http.ResponseWriter, r *http.Request) {
		path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		if len(path) == 4 && path[0] == "containerLogs" && r.URL.Query().Get("follow") == "true" {
			followed := filepath.Join(*index, filepath.Join(path[1:]...))
			if _, err := os.Stat(followed); err == nil {
				follow(w, r, target, transport, followed)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}
	server := &http.Server{
		Addr:         *listen,
		Handler:      http.HandlerFunc(handler),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	log.Fatal(server.ListenAndServeTLS(*cert, *key))
}

// follow streams kwok's answer until the file beside the log says that the container has ended and
// nothing has come for a moment.
func follow(w http.ResponseWriter, r *http.Request, target *url.URL, t http.RoundTripper, path string) {
	request := r.Clone(r.Context())
	request.URL.Scheme, request.URL.Host, request.RequestURI = target.Scheme, target.Host, ""
	answer, err := t.RoundTrip(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	w.WriteHeader(answer.StatusCode)
	var ended atomic.Bool
	var last atomic.Int64
	last.Store(time.Now().UnixNano())
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
			_, err := os.Stat(path + ".ended")
			if err == nil && time.Since(time.Unix(0, last.Load())) > quiet {
				ended.Store(true) // what kwok still writes is that its reader has gone
				answer.Body.Close()
				return
			}
		}
	}()
	buffer := make([]byte, 32*1024)
	for {
		n, err := answer.Body.Read(buffer)
		if ended.Load() {
			return
		}
		if n > 0 {
			last.Store(time.Now().UnixNano())
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
			if flusher, ok := w.(http.Flusher); ok {
				flusher.Flush()
			}
		}
		if err != nil {
			return
		}
	}
}
