package catalog

import (
	_ "embed"
	"fmt"
	"time"
)

//go:embed builtin.yaml
var builtinYAML []byte

// Builtin is the document in the binary: what a new installation starts with
// and what ONEMIND_CONFIG_SOURCE=builtin serves. Its prices take effect at now.
func Builtin(now time.Time) (Document, error) {
	file, err := ParseYAML("builtin.yaml", builtinYAML)
	if err != nil {
		return Document{}, fmt.Errorf("read the built-in catalog: %w", err)
	}
	d := newDraft(Revision{}, Editor{Actor: "startup"}, now)
	if err := file.Apply(d, false); err != nil {
		return Document{}, fmt.Errorf("apply the built-in catalog: %w", err)
	}
	d.tidy()
	if problems := check(d.Document); len(problems) > 0 {
		return Document{}, fmt.Errorf("check the built-in catalog: %w", d.locate(problems))
	}
	return d.Document, nil
}
