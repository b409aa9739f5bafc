package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// setting is one deployment setting. Everything the business changes is in the
// catalog instead.
type setting struct {
	name    string // environment variable; also the key in the file
	flag    string // command line flag, empty if it has none
	value   string // default
	secret  bool   // never printed; may be given as NAME_FILE
	help    string
	allowed []string
}

// settings is every deployment setting. docs/configuration.md is made from it.
func settings() []setting {
	return []setting{
		{name: "ONEMIND_ADDR", flag: "addr", value: ":8080", help: "Address the product listens on."},
		{name: "ONEMIND_OPS_ADDR", flag: "ops-addr", value: "127.0.0.1:9464", help: "Address of metrics, profiles, livez and readyz; keep it private. `off` closes it."},
		{name: "ONEMIND_DATA_DIR", flag: "data-dir", value: "./data", help: "Directory of the database and the generated secret key."},
		{name: "DATABASE_URL", secret: true, help: "Database: `sqlite:PATH` or `postgres://…`, through a transaction pooler or not; empty means onemind.db in the data directory."},
		{name: "DATABASE_DIRECT_URL", secret: true, help: "The same Postgres without a pooler, for LISTEN and migrations; needed when DATABASE_URL goes through one."},
		{name: "DATABASE_REPLICA_URL", secret: true, help: "A read replica of it, for history, search, usage and lists; empty means none."},
		{name: "REDIS_URL", secret: true, help: "What instances share: `redis://…` or `rediss://…`; hosts of a cluster with commas between. Empty means in process, for one instance."},
		{name: "ONEMIND_SINGLE_INSTANCE", value: "false", allowed: []string{"false", "true"}, help: "`true` lets one instance run on Postgres without Redis."},
		{name: "ONEMIND_MIGRATE", flag: "migrate", value: "true", allowed: []string{"true", "false"}, help: "Whether serve brings an old schema up to date; false refuses it instead."},
		{name: "ONEMIND_SECRET_KEY", secret: true, help: "Key-encryption keys, base64 of 32 bytes each, newest first, comma between; the same on every instance. Generated into the data directory when empty and the database is SQLite."},
		{name: "ONEMIND_HOLD_TTL", value: "15m", help: "After this long any instance settles a hold whose owner is gone."},
		{name: "ONEMIND_PUBLIC_URL", help: "URL people use, such as https://ai.example.org; https makes the session cookie secure."},
		{name: "ONEMIND_CONFIG_SOURCE", value: "database", allowed: []string{"database", "builtin"}, help: "`builtin` serves the built-in catalog instead of the database: the rollback switch."},
		{name: "ONEMIND_INSTANCE", help: "Name of this instance in the admin's list; empty means the host name."},
		{name: "ONEMIND_DRAIN_TIMEOUT", value: "25s", help: "How long open answers may go on after a stop was asked for."},
		{name: "ONEMIND_STREAM_BUFFER", value: "durable", allowed: []string{"durable", "memory"}, help: "Where the events of runs are kept for readers that come back: `durable` in Redis, or in the database without one; `memory` in the process, for one instance: cheaper, but a crash loses what was being written."},
		{name: "ONEMIND_ADMIN_EMAIL", help: "With the password: makes the first administrator at the first start."},
		{name: "ONEMIND_ADMIN_PASSWORD", secret: true, help: "Password of the first administrator."},
		{name: "ONEMIND_LOG_LEVEL", value: "info", allowed: []string{"debug", "info", "warn", "error"}, help: "Least level that is logged."},
	}
}

// config is the settings of this process with where each came from.
type config struct {
	values  map[string]string
	sources map[string]string
	Warned  []string
}

// load resolves the settings: flags win over the environment, the environment
// over the file, the file over the defaults.
func load(file string, flags map[string]string) (*config, error) {
	fromFile := map[string]string{}
	if file != "" {
		data, err := os.ReadFile(file) //nolint:gosec // the operator names it
		if err != nil {
			return nil, fmt.Errorf("read the configuration file: %w", err)
		}
		if err := yaml.Unmarshal(data, &fromFile); err != nil {
			return nil, fmt.Errorf("%s: must be a map of names to values: %w", file, err)
		}
	}
	c := &config{values: map[string]string{}, sources: map[string]string{}}
	known := map[string]bool{}
	for _, s := range settings() {
		known[s.name], known[s.name+"_FILE"] = true, s.secret
		if err := c.resolve(s, fromFile, flags, file); err != nil {
			return nil, err
		}
	}
	for name := range fromFile {
		if !known[name] {
			return nil, fmt.Errorf("%s: there is no setting %s", file, name)
		}
	}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "ONEMIND_") && !known[name] {
			c.Warned = append(c.Warned, "there is no setting "+name+"; it is ignored")
		}
	}
	return c, c.check()
}

func (c *config) resolve(s setting, fromFile, flags map[string]string, file string) error {
	value, source := s.value, "default"
	if v, ok := fromFile[s.name]; ok {
		value, source = v, file
	}
	if path := os.Getenv(s.name + "_FILE"); s.secret && path != "" {
		data, err := os.ReadFile(path) //nolint:gosec // the operator names it
		if err != nil {
			return fmt.Errorf("%s_FILE: %w", s.name, err)
		}
		value, source = strings.TrimSpace(string(data)), s.name+"_FILE"
	}
	if v := os.Getenv(s.name); v != "" {
		value, source = v, "environment"
	}
	if v, ok := flags[s.flag]; ok && s.flag != "" {
		value, source = v, "flag --"+s.flag
	}
	if len(s.allowed) > 0 && !slices.Contains(s.allowed, value) {
		return fmt.Errorf("%s: must be one of %s, not %q", s.name, strings.Join(s.allowed, ", "), value)
	}
	c.values[s.name], c.sources[s.name] = value, source
	return nil
}

// check refuses values that cannot be used, in one line that names the setting.
func (c *config) check() error {
	for _, name := range []string{"ONEMIND_HOLD_TTL", "ONEMIND_DRAIN_TIMEOUT"} {
		if d, err := time.ParseDuration(c.values[name]); err != nil || d <= 0 {
			return fmt.Errorf("%s: must be a duration above zero such as 15m, not %q", name, c.values[name])
		}
	}
	if url := c.values["ONEMIND_PUBLIC_URL"]; url != "" && !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return fmt.Errorf("ONEMIND_PUBLIC_URL: must begin with http:// or https://, not %q", url)
	}
	if err := c.checkStores(); err != nil {
		return err
	}
	if (c.values["ONEMIND_ADMIN_EMAIL"] == "") != (c.values["ONEMIND_ADMIN_PASSWORD"] == "") {
		return errors.New("ONEMIND_ADMIN_EMAIL and ONEMIND_ADMIN_PASSWORD: set both or neither")
	}
	return nil
}

// isPostgres tells whether a URL names a Postgres.
func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// checkStores refuses combinations of stores that would lose or split state.
func (c *config) checkStores() error {
	url := c.values["DATABASE_URL"]
	if url != "" && !strings.HasPrefix(url, "sqlite:") && !isPostgres(url) {
		scheme, _, _ := strings.Cut(url, ":")
		return fmt.Errorf("DATABASE_URL: must begin with sqlite: or postgres://, not %s", scheme)
	}
	for _, name := range []string{"DATABASE_DIRECT_URL", "DATABASE_REPLICA_URL"} {
		if v := c.values[name]; v != "" && !isPostgres(v) {
			return fmt.Errorf("%s: must begin with postgres://", name)
		}
	}
	if redis := c.values["REDIS_URL"]; redis != "" && !strings.HasPrefix(redis, "redis://") && !strings.HasPrefix(redis, "rediss://") {
		return errors.New("REDIS_URL: must begin with redis:// or rediss://")
	}
	if c.values["ONEMIND_STREAM_BUFFER"] == "memory" && c.values["REDIS_URL"] != "" {
		return errors.New("ONEMIND_STREAM_BUFFER: memory is for one instance alone; with REDIS_URL set, streams are read from any instance and have to be durable")
	}
	if !c.postgres() {
		for _, name := range []string{"DATABASE_DIRECT_URL", "DATABASE_REPLICA_URL", "REDIS_URL"} {
			if c.values[name] != "" {
				return fmt.Errorf("%s: is for an installation on Postgres; set DATABASE_URL=postgres://… too, or unset it", name)
			}
		}
		return nil
	}
	if c.values["ONEMIND_SECRET_KEY"] == "" {
		return errors.New("ONEMIND_SECRET_KEY: is required with Postgres, the same on every instance; make one with: openssl rand -base64 32")
	}
	if c.values["REDIS_URL"] == "" && c.values["ONEMIND_SINGLE_INSTANCE"] != "true" {
		return errors.New("REDIS_URL: several instances need a Redis to share limits and sessions; set it, or set ONEMIND_SINGLE_INSTANCE=true if there is only this one")
	}
	return nil
}

// postgres tells whether the database is a Postgres.
func (c *config) postgres() bool { return isPostgres(c.get("DATABASE_URL")) }

// alone tells whether this is the only instance there is.
func (c *config) alone() bool { return c.get("REDIS_URL") == "" }

func (c *config) get(name string) string { return c.values[name] }

func (c *config) duration(name string) time.Duration {
	d, err := time.ParseDuration(c.values[name])
	if err != nil {
		return 0 // check has refused it before
	}
	return d
}

// database is the path of the database file.
func (c *config) database() string {
	if path, ok := strings.CutPrefix(c.get("DATABASE_URL"), "sqlite:"); ok {
		return strings.TrimPrefix(path, "//")
	}
	return filepath.Join(c.get("ONEMIND_DATA_DIR"), "onemind.db")
}

// secretKey gives the key-encryption keys, making one at the first start.
func (c *config) secretKey(generate func() string) (string, error) {
	if keys := c.get("ONEMIND_SECRET_KEY"); keys != "" {
		return keys, nil
	}
	path := filepath.Join(c.get("ONEMIND_DATA_DIR"), "secret.key")
	data, err := os.ReadFile(path) //nolint:gosec // inside the data directory
	if err == nil {
		keys := strings.TrimSpace(string(data))
		if _, err := base64.StdEncoding.DecodeString(strings.Split(keys, ",")[0]); err != nil {
			return "", fmt.Errorf("%s: is not a secret key", path)
		}
		return keys, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the secret key: %w", err)
	}
	keys := generate()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make the data directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // inside the data directory
	if err != nil {
		return "", fmt.Errorf("write the secret key: %w", err)
	}
	_, err = f.WriteString(keys + "\n")
	return keys, errors.Join(err, f.Sync(), f.Close())
}

// explained is one line of `config explain`.
type explained struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// explain lists every setting with its value and where it came from; secrets hidden.
func (c *config) explain() []explained {
	var list []explained
	for _, s := range settings() {
		v := c.values[s.name]
		if s.secret && v != "" {
			v = "[secret]"
		}
		list = append(list, explained{s.name, v, c.sources[s.name]})
	}
	return list
}

// configurationDoc is docs/configuration.md.
func configurationDoc() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\nDeployment settings. Flags win over the environment, the environment over the file given by `--config` (YAML, the\nsame names), the file over the defaults. `onemind config explain` prints each value and its source. Everything the\nbusiness changes (models, prices, providers, plans, settings) is in the catalog and changes live: see the admin pages.\n\n")
	b.WriteString("| setting | flag | default | what it is |\n|---|---|---|---|\n")
	for _, s := range settings() {
		flag, value, help := "", "", s.help
		if s.flag != "" {
			flag = "`--" + s.flag + "`"
		}
		if s.value != "" {
			value = "`" + s.value + "`"
		}
		if s.secret {
			help += " Also as `" + s.name + "_FILE`."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.name, flag, value, help)
	}
	b.WriteString("\nProvider keys are taken from the environment too (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`, …: the name\nstands at each provider in the catalog) until a key is set on the provider's admin page.\n\nAn unknown `ONEMIND_*` variable is a warning; an invalid value stops the start with one line.\n")
	return b.String()
}
