package main

import (
	"fmt"
	"io"
	"net/http"
	"runtime"

	"onemind/internal/upstream"
)

// gauge is one figure of /metrics.
type gauge struct {
	name, kind string
	value      int64
}

// metrics writes the few figures this instance knows, in Prometheus's text form.
func (a *app) metrics(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	for _, g := range append(a.storeGauges(), []gauge{
		{"onemind_open_answers", "gauge", a.engine.OpenAnswers()},
		{"onemind_catalog_revision", "gauge", a.catalog.Snapshot().Revision},
		{"go_goroutines", "gauge", int64(runtime.NumGoroutine())},
		{"go_memstats_heap_inuse_bytes", "gauge", int64(m.HeapInuse)}, //nolint:gosec // far below 2^63
	}...) {
		fmt.Fprintf(w, "# TYPE %s %s\n%s %d\n", g.name, g.kind, g.name, g.value)
	}
	a.upstreamMetrics(w)
}

// upstreamMetrics writes how providers do. An alert that is not mended stays 1.
func (a *app) upstreamMetrics(w io.Writer) {
	health := a.engine.Health()
	for _, g := range []struct {
		name string
		of   func(upstream.Health) int
	}{
		{"onemind_provider_answers", func(h upstream.Health) int { return h.Running }},
		{"onemind_provider_waiting", func(h upstream.Health) int { return h.Waiting }},
		{"onemind_provider_breakers_open", func(h upstream.Health) int {
			n := 0
			for _, lane := range h.Lanes {
				n += int(flag(lane.Breaker == upstream.Open))
			}
			return n
		}},
	} {
		fmt.Fprintf(w, "# TYPE %s gauge\n", g.name)
		for _, h := range health {
			fmt.Fprintf(w, "%s{provider=%q} %d\n", g.name, h.Provider, g.of(h))
		}
	}
	fmt.Fprint(w, "# TYPE onemind_operator_alert gauge\n")
	told := map[string]bool{}
	for _, alert := range a.engine.Alerts() {
		line := fmt.Sprintf("onemind_operator_alert{provider=%q,code=%q} 1\n", alert.Provider, alert.Code)
		if !told[line] {
			told[line] = true
			fmt.Fprint(w, line)
		}
	}
}

// storeGauges are the figures of the stores that are in use.
func (a *app) storeGauges() []gauge {
	crew := a.together.crew
	list := []gauge{
		{"onemind_instances", "gauge", int64(crew.Live())},
		{"onemind_lines_up", "gauge", crew.Lines()},
		{"onemind_catalog_bad", "gauge", flag(a.catalog.LastError() != nil)},
	}
	switch {
	case a.stores.file != nil:
		s := a.stores.file.Stats()
		list = append(list, gauge{"onemind_store_acts_total", "counter", s.Acts}, gauge{"onemind_store_commits_total", "counter", s.Groups})
	case a.stores.pg != nil:
		s, group := a.stores.pg.Stats(), a.stores.pg.GroupStats()
		list = append(list, gauge{"onemind_store_acts_total", "counter", group.Acts}, gauge{"onemind_store_commits_total", "counter", group.Groups},
			gauge{"onemind_store_connections_in_use", "gauge", int64(s.Acquired)}, gauge{"onemind_store_connections_waited_total", "counter", s.Waits},
			gauge{"onemind_store_partitions_ahead", "gauge", a.monthsAhead.Load()})
		if a.config.get("DATABASE_REPLICA_URL") != "" {
			lag, used := a.stores.pg.ReplicaLag()
			list = append(list, gauge{"onemind_replica_used", "gauge", flag(used)}, gauge{"onemind_replica_lag_ms", "gauge", lag.Milliseconds()})
		}
	}
	if r := a.stores.shared; r != nil {
		s := r.client.Stats()
		on, alone := r.degrades.Degraded()
		list = append(list, gauge{"onemind_redis_up", "gauge", flag(r.client.Up())}, gauge{"onemind_redis_calls_total", "counter", s.Calls},
			gauge{"onemind_redis_failures_total", "counter", s.Failures}, gauge{"onemind_redis_breaker_opens_total", "counter", s.Opens},
			gauge{"onemind_limits_degraded", "gauge", flag(on)}, gauge{"onemind_limits_decided_alone_total", "counter", alone})
	}
	return list
}

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}
