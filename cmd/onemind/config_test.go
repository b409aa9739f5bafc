package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigurationDocIsCurrent(t *testing.T) {
	have, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != configurationDoc() {
		t.Error("docs/configuration.md is not what the code says: run go run ./cmd/onemind config doc > docs/configuration.md")
	}
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "onemind.yaml")
	if err := os.WriteFile(file, []byte("ONEMIND_ADDR: :1\nONEMIND_DATA_DIR: /file\nONEMIND_HOLD_TTL: 1m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ONEMIND_ADDR", ":2")
	t.Setenv("ONEMIND_DATA_DIR", "/env")
	c, err := load(file, map[string]string{"addr": ":3"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{"ONEMIND_ADDR": {":3", "flag --addr"}, "ONEMIND_DATA_DIR": {"/env", "environment"}, "ONEMIND_HOLD_TTL": {"1m", file}, "ONEMIND_CONFIG_SOURCE": {"database", "default"}} {
		if c.values[name] != want[0] || c.sources[name] != want[1] {
			t.Errorf("%s = %q from %s, want %q from %s", name, c.values[name], c.sources[name], want[0], want[1])
		}
	}
}

func TestSecretsComeFromFilesAndStayHidden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("a long secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ONEMIND_ADMIN_PASSWORD_FILE", path)
	t.Setenv("ONEMIND_ADMIN_EMAIL", "a@b.org")
	c, err := load("", nil)
	if err != nil || c.get("ONEMIND_ADMIN_PASSWORD") != "a long secret" {
		t.Fatalf("password %q, %v", c.get("ONEMIND_ADMIN_PASSWORD"), err)
	}
	for _, e := range c.explain() {
		if strings.Contains(e.Value, "a long secret") {
			t.Errorf("%s is shown by config explain", e.Name)
		}
	}
}

func TestInvalidSettingsStopTheStart(t *testing.T) {
	for name, value := range map[string]string{"ONEMIND_HOLD_TTL": "soon", "ONEMIND_DRAIN_TIMEOUT": "-1s", "ONEMIND_CONFIG_SOURCE": "moon", "ONEMIND_PUBLIC_URL": "example.org",
		"ONEMIND_ADMIN_EMAIL": "a@b.org", "DATABASE_URL": "mysql://x", "REDIS_URL": "redis://x"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			if _, err := load("", nil); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("load with %s=%s: %v", name, value, err)
			}
		})
	}
}
