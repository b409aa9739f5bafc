package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// figures are one system's in one round.
type figures struct {
	Rate, CPU, Streams, StreamCPU, P50, P99, First50, First99, Idle, Peak float64
	Errors                                                                int64
}

func (p *process) round(length time.Duration) figures {
	var f figures
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	f.Idle = p.rss()
	var errs int64
	f.Rate, f.CPU, f.Errors = p.closed(64, length, false)
	f.Streams, f.StreamCPU, errs = p.closed(200, length, true)
	f.Errors += errs
	a, b := p.paced(300, length)
	f.P50, f.P99 = ms(a), ms(b)
	a, b = p.burst(200)
	f.First50, f.First99 = ms(a), ms(b)
	f.Peak = p.rss()
	return f
}

// contest is what is measured side by side.
type contest struct {
	binary, beside string
	dialects       bool
	length         time.Duration
	rounds         int
}

// entrant is one system of a contest that is a OneMind.
type entrant struct{ name, binary, protocol string }

func (c contest) entrants() []entrant {
	list := []entrant{{"onemind", c.binary, "openai"}}
	if c.beside != "" {
		list = append(list, entrant{"beside", c.beside, "openai"})
	}
	if c.dialects {
		list = append(list, entrant{"anthropic", c.binary, "anthropic"}, entrant{"gemini", c.binary, "gemini"})
	}
	return list
}

func measure(c contest) error {
	up, err := startRole("direct", "upstream")
	if err != nil {
		return err
	}
	defer up.stop()
	results := map[string][]figures{}
	var startup time.Duration
	for range c.rounds {
		if startup, err = c.round(up, results); err != nil {
			return err
		}
	}
	return c.table(results, startup)
}

// round measures every system once and gives how long OneMind took to start.
func (c contest) round(up *process, results map[string][]figures) (startup time.Duration, err error) {
	proxy, err := startRole("reverse proxy", "proxy", "-to", up.url)
	if err != nil {
		return 0, err
	}
	defer proxy.stop()
	for _, p := range []*process{up, proxy} {
		results[p.name] = append(results[p.name], p.round(c.length))
	}
	for _, e := range c.entrants() {
		dir, err := os.MkdirTemp("", "onemind-bench-*")
		if err != nil {
			return 0, err
		}
		om, took, err := product(e.name, e.binary, up.url, e.protocol, dir)
		if err != nil {
			return 0, errors.Join(err, os.RemoveAll(dir))
		}
		if e.name == "onemind" {
			startup = took
		}
		results[e.name] = append(results[e.name], om.round(c.length))
		om.stop()
		if err := os.RemoveAll(dir); err != nil {
			return 0, err
		}
	}
	return startup, nil
}

// rows are what the table shows.
func rows() []struct {
	name string
	of   func(figures) float64
} {
	return []struct {
		name string
		of   func(figures) float64
	}{
		{"requests/s, 64 connections", func(f figures) float64 { return f.Rate }},
		{"CPU us/request", func(f figures) float64 { return f.CPU }},
		{"streams/s, 200 at once (50 chunks)", func(f figures) float64 { return f.Streams }},
		{"CPU us/stream", func(f figures) float64 { return f.StreamCPU }},
		{"p50 ms at 300/s", func(f figures) float64 { return f.P50 }},
		{"p99 ms at 300/s", func(f figures) float64 { return f.P99 }},
		{"first byte p50 ms, burst of 200 streams", func(f figures) float64 { return f.First50 }},
		{"first byte p99 ms, burst of 200 streams", func(f figures) float64 { return f.First99 }},
		{"resident MB at the start", func(f figures) float64 { return f.Idle }},
		{"resident MB at the end", func(f figures) float64 { return f.Peak }},
		{"errors", func(f figures) float64 { return float64(f.Errors) }},
	}
}

func (c contest) table(results map[string][]figures, startup time.Duration) error {
	median := func(name string, of func(figures) float64) float64 {
		var v []float64
		for _, f := range results[name] {
			v = append(v, of(f))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	systems := []string{"direct", "reverse proxy"}
	for _, e := range c.entrants() {
		systems = append(systems, e.name)
	}
	fmt.Printf("%d CPUs, %s, %d rounds of %s per measurement, medians; start of onemind %d ms\n\n%-42s", runtime.NumCPU(), runtime.Version(), c.rounds, c.length, startup.Milliseconds(), "")
	for _, name := range systems {
		fmt.Printf(" %14s", name)
	}
	fmt.Printf(" %10s", "om/proxy")
	for _, name := range systems[3:] {
		fmt.Printf(" %14s", name+"/om")
	}
	fmt.Println()
	out := map[string]map[string]float64{}
	for _, r := range rows() {
		out[r.name] = map[string]float64{}
		fmt.Printf("%-42s", r.name)
		for _, name := range systems {
			out[r.name][name] = median(name, r.of)
			fmt.Printf(" %14.2f", out[r.name][name])
		}
		fmt.Printf(" %10s", ratio(out[r.name]["onemind"], out[r.name]["reverse proxy"]))
		for _, name := range systems[3:] {
			fmt.Printf(" %14s", ratio(out[r.name][name], out[r.name]["onemind"]))
		}
		fmt.Println()
	}
	if path := os.Getenv("BENCH_JSON"); path != "" {
		data, err := json.MarshalIndent(out, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o600)
	}
	return nil
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}
