package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// crowd is people who call all instances of an installation until it is stopped.
type crowd struct {
	c       *installation
	p       *person
	quit    chan struct{}
	workers sync.WaitGroup

	mu       sync.Mutex
	statuses map[string]int // "200", "503 database_unavailable" and so on
	ids      []string       // requests that were answered
	slowest  time.Duration
}

// crowdSize is how many calls are under way at once: enough for two cores.
const crowdSize = 9

func newCrowd(c *installation, p *person) *crowd {
	l := &crowd{c: c, p: p, quit: make(chan struct{}), statuses: map[string]int{}}
	body := chatBody("small", false, 10)
	for w := range crowdSize {
		in := c.instances[w%len(c.instances)]
		l.workers.Go(func() {
			for {
				select {
				case <-l.quit:
					return
				default:
				}
				start := time.Now()
				r, err := in.try(in.request(c.t.Context(), "POST", "/v1/chat/completions", body, "Authorization", "Bearer "+p.key))
				l.note(r, err, time.Since(start))
			}
		})
	}
	return l
}

func (l *crowd) note(r *reply, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest = max(l.slowest, took)
	switch {
	case err != nil:
		l.statuses["broken: "+err.Error()]++
	case r.status == 200:
		l.statuses["200"]++
		if len(l.ids) < 2000 {
			l.ids = append(l.ids, r.header.Get("X-Request-Id"))
		}
	default:
		l.statuses[fmt.Sprint(r.status, " ", r.code())]++
		if r.status == 503 && r.header.Get("Retry-After") == "" {
			l.statuses["503 without Retry-After"]++
		}
	}
}

// stop ends the load.
func (l *crowd) stop() {
	close(l.quit)
	l.workers.Wait()
}

// want fails on any answer that is not one of statuses, as counted by note.
func (l *crowd) want(statuses ...any) {
	l.c.t.Helper()
	for what, n := range l.statuses {
		allowed := false
		for _, s := range statuses {
			allowed = allowed || what == fmt.Sprint(s)
		}
		if !allowed {
			l.c.t.Errorf("%d answers were: %s", n, what)
		}
	}
	if l.statuses["200"] == 0 {
		l.c.t.Error("no call was answered")
	}
}

// count is how many answers were of a status so far.
func (l *crowd) count(status string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statuses[status]
}

// priced is what a receipt says of prices.
type priced struct {
	Revision int64 `json:"revision"`
	Output   int64
}

// receipts reads the receipts of what was answered.
func (l *crowd) receipts() (list []priced) {
	l.c.t.Helper()
	for _, id := range l.ids {
		var r struct {
			Revision int64 `json:"revision"`
			Prices   struct {
				Output int64 `json:"output_nano_usd"`
			} `json:"prices"`
		}
		reply := l.p.sdk("GET", "/v1/receipts/"+id, nil).want(200)
		if err := json.Unmarshal(reply.body, &r); err != nil {
			l.c.t.Fatal(err)
		}
		list = append(list, priced{r.Revision, r.Prices.Output})
	}
	return list
}

// redisCommand sends one command to the Redis, as redis-cli would.
func (c *installation) redisCommand(words ...string) string {
	c.t.Helper()
	conn, err := (&net.Dialer{}).DialContext(c.t.Context(), "tcp", c.redis.Addr())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(w), w)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return line
}
