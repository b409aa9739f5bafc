// Package deploy carries the configuration files that OneMind ships for the
// servers around it, so that the cluster on one machine and the tests run the
// very files an operator gets.
package deploy

import _ "embed"

// PgBouncer is pgbouncer.ini: transaction pooling, 20 server connections, 200 clients.
//
//go:embed pgbouncer.ini
var PgBouncer string

// HAProxy is haproxy.cfg without its list of instances.
//
//go:embed haproxy.cfg
var HAProxy string
