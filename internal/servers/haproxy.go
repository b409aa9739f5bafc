package servers

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"onemind/deploy"
)

// HAProxy is a private load balancer with the shipped configuration.
type HAProxy struct{ server }

// NewHAProxy starts an HAProxy with deploy/haproxy.cfg in front of instances,
// given as host:port. It listens on port, or on a free one when port is 0.
func NewHAProxy(ctx context.Context, dir string, port int, instances ...string) (*HAProxy, error) {
	home, err := folder(dir, "haproxy")
	if err != nil {
		return nil, err
	}
	path, err := program("haproxy", "haproxy", "/usr/sbin")
	if err != nil {
		return nil, err
	}
	if port == 0 {
		if port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	var cfg strings.Builder
	cfg.WriteString(deploy.HAProxy)
	for i, addr := range instances {
		fmt.Fprintf(&cfg, "    server om%d %s cookie om%d\n", i+1, addr, i+1)
	}
	file := filepath.Join(home, "haproxy.cfg")
	if err := write(file, cfg.String()); err != nil {
		return nil, err
	}
	h := &HAProxy{server{name: "haproxy", dir: home, port: port, args: []string{path, "-db", "-f", file}}}
	h.env = []string{"ONEMIND_LB_BIND=127.0.0.1:" + fmt.Sprint(port)}
	return h, h.Start(ctx)
}

// URL is where people reach the instances.
func (h *HAProxy) URL() string { return "http://" + h.Addr() }
