package wire

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"onemind/internal/llm"
)

const (
	minIdle     = 256 // idle connections per host; Go's 2 makes 64 callers dial all the time
	maxIdle     = 4096
	idleFor     = 60 * time.Second // shorter than what most load balancers keep
	maxKept     = 256              // endpoints and transports; more are forgotten, not refused
	maxHeaders  = 256 << 10
	dialDefault = 10 * time.Second
)

// endpoint is where requests of one target go.
type endpoint struct {
	url   *url.URL
	trips http.RoundTripper
}

// dialing is what decides whether two targets can share connections.
type dialing struct {
	connect      time.Duration
	allowPrivate bool
	idle         int
}

// route is what an endpoint is kept under.
type route struct {
	base, path string
	dialing
}

// endpoint finds or makes the endpoint of a path at a target.
func (c *Client) endpoint(to *llm.Target, path string) (endpoint, error) {
	key := route{to.BaseURL, path, dialing{to.Timeouts.Connect, to.AllowPrivate, min(max(to.Concurrency, minIdle), maxIdle)}}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.endpoints[key]; ok {
		return e, nil
	}
	base := to.BaseURL
	if base == "" && c.transport != nil {
		base = "http://engine" // within the process: any name will do
	}
	u, err := url.Parse(strings.TrimRight(base, "/") + path)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return endpoint{}, &llm.Failure{Class: llm.Unreachable, Text: "The base URL is not an http or https URL."}
	}
	e := endpoint{u, c.transport}
	if e.trips == nil {
		e.trips = c.transportOf(key.dialing)
	}
	if len(c.endpoints) >= maxKept {
		clear(c.endpoints)
	}
	c.endpoints[key] = e
	return e, nil
}

// transportOf finds or makes the pool of connections. The caller holds the lock.
func (c *Client) transportOf(d dialing) *http.Transport {
	if t, ok := c.transports[d]; ok {
		return t
	}
	if len(c.transports) >= maxKept {
		for _, t := range c.transports {
			t.CloseIdleConnections()
		}
		clear(c.transports)
	}
	t := newTransport(d)
	c.transports[d] = t
	return t
}

func newTransport(d dialing) *http.Transport {
	connect := d.connect
	if connect <= 0 {
		connect = dialDefault
	}
	dialer := net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}
	if !d.allowPrivate {
		dialer.Control = guard
	}
	return &http.Transport{ // no Proxy: the environment must not lead keys elsewhere
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    connect,
		MaxIdleConns:           0, // no bound over all hosts
		MaxIdleConnsPerHost:    d.idle,
		IdleConnTimeout:        idleFor,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxHeaders,
		ReadBufferSize:         8 << 10,
		// A connection that died silently is found by pings instead of by timeouts.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// Close lets go of idle connections.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
	return nil
}
