package catalog

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/money"
)

// ParsePOC reads an export of the earlier system: JSON, an object with tables as
// members or the rows of one table, or CSV with a header row. The rows of one
// table are told by the file's name, such as ai_models_rows.csv. What is wrong is
// reported with file, row, field and rule; columns that are not ours are ignored.
func ParsePOC(name string, data []byte) (*POC, error) {
	r := &pocReader{file: filepath.Base(name), poc: &POC{}}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff"))) // programs on Windows put the mark there
	switch {
	case len(data) > maxFile:
		r.bad("", "file", "must be at most %d bytes", maxFile)
	case len(data) == 0:
		r.bad("", "file", "is empty")
	case strings.EqualFold(filepath.Ext(r.file), ".csv"):
		r.csv(data)
	default:
		r.json(data)
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return r.poc, nil
}

// pocReader reads one file and collects what is wrong in it.
type pocReader struct {
	file     string
	poc      *POC
	problems Invalid
}

func (r *pocReader) bad(at, field, rule string, args ...any) {
	if at == "" {
		at = r.file
	}
	r.problems = broken(r.problems, at, field, rule, args...)
}

// broken adds a broken rule with the place it was read from.
func broken(problems Invalid, at, field, rule string, args ...any) Invalid {
	if len(problems) >= maxProblems {
		return problems
	}
	return append(problems, &fault.Error{Kind: fault.Unprocessable, Code: "invalid_field", Field: field,
		Text: at + ": " + field + " " + fmt.Sprintf(rule, args...)})
}

// table is the table that the file's name tells, empty if it tells none.
func (r *pocReader) table() string {
	for _, table := range []string{"ai_models", "provider_config", "system_config"} {
		if strings.HasPrefix(strings.ToLower(r.file), table) {
			return table
		}
	}
	return ""
}

const pocNames = "must be named after its table, such as ai_models.json, provider_config_rows.csv or system_config.json"

func (r *pocReader) csv(data []byte) {
	table := r.table()
	if table == "" {
		r.bad("", "file", pocNames)
		return
	}
	in := csv.NewReader(bytes.NewReader(data))
	header, err := in.Read()
	for n := 1; err == nil; n++ {
		var record []string
		if record, err = in.Read(); err == nil {
			values := map[string]string{}
			for i, name := range header {
				values[strings.TrimSpace(name)] = record[i]
			}
			r.row(table, n, values)
		}
	}
	if !errors.Is(err, io.EOF) {
		r.bad("", "file", "is not CSV: %s", clip(err.Error(), 200))
	}
}

func (r *pocReader) json(data []byte) {
	if data[0] == '[' {
		if table := r.table(); table != "" {
			r.rows(table, data)
		} else {
			r.bad("", "file", pocNames+", or hold an object with tables as members")
		}
		return
	}
	var tables map[string]json.RawMessage
	if err := json.Unmarshal(data, &tables); err != nil {
		r.bad("", "file", "is neither CSV by its name nor JSON: %s", clip(err.Error(), 200))
		return
	}
	found := false
	for _, table := range []string{"provider_config", "ai_models", "system_config"} {
		if rows, ok := tables[table]; ok {
			found = true
			r.rows(table, rows)
			delete(tables, table)
		}
	}
	if !found {
		r.bad("", "file", "must have ai_models, provider_config or system_config as members")
	}
	for _, table := range allNames(tables, tables) {
		r.poc.notes = append(r.poc.notes, fmt.Sprintf("%s: the table %s is not carried over", r.file, clip(strconv.Quote(table), 80)))
	}
}

// rows reads the rows of a table in JSON; json_agg makes null of an empty one.
func (r *pocReader) rows(table string, data []byte) {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		r.bad("", table, "must be an array of rows: %s", clip(err.Error(), 200))
		return
	}
	for i, members := range list {
		values := map[string]string{}
		for name, value := range members {
			values[name] = pocValue(value)
		}
		r.row(table, i+1, values)
	}
}

// pocValue is a JSON value as CSV would have it: text without quotes, null as
// nothing, everything else as it stands. Numbers keep their digits.
func pocValue(value json.RawMessage) string {
	var text string
	if string(value) == "null" {
		return ""
	}
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

func (r *pocReader) row(table string, n int, values map[string]string) {
	v := pocRow{reader: r, at: fmt.Sprintf("%s: %s row %d", r.file, table, n), values: values}
	switch table {
	case "ai_models":
		r.poc.models = append(r.poc.models, v.model())
	case "provider_config":
		r.poc.providers = append(r.poc.providers, v.provider())
	case "system_config":
		r.poc.settings = append(r.poc.settings, pocSetting{at: v.at, key: v.required("key"), value: unquoted(v.text("value"))})
	}
}

// unquoted takes off the quotes that a JSON column and the admin page each put
// around a value.
func unquoted(value string) string {
	for range 2 {
		var text string
		if json.Unmarshal([]byte(value), &text) != nil {
			break
		}
		value = strings.TrimSpace(text)
	}
	return value
}

// pocRow reads the columns of one row; one that is missing is as one that is empty.
type pocRow struct {
	reader *pocReader
	at     string
	values map[string]string
}

func (v pocRow) bad(field, rule string, args ...any) { v.reader.bad(v.at, field, rule, args...) }

func (v pocRow) text(field string) string { return strings.TrimSpace(v.values[field]) }

func (v pocRow) required(field string) string {
	text := v.text(field)
	if text == "" {
		v.bad(field, "is required")
	}
	return text
}

// flag reads true or false, nil when there is neither.
func (v pocRow) flag(field string) *bool {
	text := v.text(field)
	if text == "" {
		return nil
	}
	set, err := strconv.ParseBool(text)
	if err != nil {
		v.bad(field, "must be true or false")
	}
	return &set
}

// count reads a whole number above 0; 0 when there is none.
func (v pocRow) count(field string) int64 {
	text := v.text(field)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(trimZeros(text), 10, 64)
	if err != nil || n < 1 || n > maxLimit {
		v.bad(field, "must be a whole number between 1 and %d", maxLimit)
		return 0
	}
	return n
}

// trimZeros takes off the zeros after the point that numeric columns and
// spreadsheets write: 8192.0 is a whole number.
func trimZeros(text string) string {
	if whole, part, dotted := strings.Cut(text, "."); dotted && part != "" {
		return strings.TrimSuffix(whole+"."+strings.TrimRight(part, "0"), ".")
	}
	return text
}

// price reads dollars per million tokens, nil when there is no price.
func (v pocRow) price(field string) *money.Amount {
	text := v.text(field)
	if text == "" {
		return nil
	}
	a, err := money.ParseDollars(trimZeros(text))
	switch {
	case err != nil:
		v.bad(field, "must be a plain decimal number such as 0.15: %s", clip(err.Error(), 120))
	case a < 0 || a > money.MaxPrice:
		v.bad(field, "must be between 0 and %s dollars", money.MaxPrice.Dollars())
	}
	return &a
}

func (v pocRow) model() pocModel {
	m := pocModel{at: v.at, file: v.reader.file, provider: v.providerID(), upstream: v.required("model_id"), name: v.text("display_name"),
		input: v.price("input_price_per_million"), output: v.price("output_price_per_million"),
		window: v.count("context_window"), most: v.count("max_output_tokens"), active: v.flag("is_active")}
	if m.input == nil && m.output == nil {
		m.input, m.output = v.price("input_cost_per_million"), v.price("output_cost_per_million")
	}
	if m.most == 0 {
		m.most = v.count("max_tokens")
	}
	if set := v.flag("is_default"); set != nil {
		m.preset = *set
	}
	m.capabilities, m.unknown = v.capabilities()
	return m
}

// providerID gives the id that the provider has here.
func (v pocRow) providerID() string {
	id := strings.ToLower(v.required("provider"))
	switch id {
	case "":
		return ""
	case "kimi":
		return "moonshot"
	case "claude":
		return "anthropic"
	case "google":
		return "gemini"
	case "grok":
		return "xai"
	}
	if !validID(id, 64, false) {
		v.bad("provider", "must be 1 to 64 letters, digits and . _ -, and begin with a letter or a digit")
	}
	return id
}

// capabilities reads a list of names, or an object of names that are true, and
// tells apart those that mean something here.
func (v pocRow) capabilities() (known, unknown []string) {
	text := unquoted(v.text("capabilities"))
	if text == "" || text == "null" {
		return nil, nil
	}
	var names []string
	var set map[string]json.RawMessage
	switch {
	case json.Unmarshal([]byte(text), &names) == nil:
	case json.Unmarshal([]byte(text), &set) == nil:
		for _, name := range allNames(set, set) {
			if string(set[name]) == "true" {
				names = append(names, name)
			}
		}
	default:
		v.bad("capabilities", "must be a list of names, or an object of names that are true or false")
	}
	for _, name := range names {
		ours := pocCapability(strings.ToLower(strings.TrimSpace(name)))
		if ours == "" {
			unknown = append(unknown, clip(strconv.Quote(name), 60))
		} else if !slices.Contains(known, ours) {
			known = append(known, ours)
		}
	}
	return known, unknown
}

// pocCapability gives our name of a capability, empty when there is none.
func pocCapability(name string) string {
	switch strings.NewReplacer("-", "_", " ", "_").Replace(strings.TrimPrefix(name, "supports_")) {
	case "stream", "text", "chat", "completion": // what every model does
		return "streaming"
	case "function_calling", "functions", "function_call", "tool_use", "tool_calling":
		return "tools"
	case "vision", "image", "image_input", "multimodal":
		return "images"
	case "json_mode", "json_output", "structured_output", "structured_outputs":
		return "json"
	case "thinking":
		return "reasoning"
	case "pdf", "files", "document":
		return "documents"
	}
	if _, ours := llm.ParseCapability(name); ours {
		return name
	}
	return ""
}

func (v pocRow) provider() pocProvider {
	p := pocProvider{at: v.at, id: v.providerID(), enabled: v.flag("is_enabled"), wait: v.count("timeout_seconds"), most: v.count("max_output_cap"),
		perMinute: v.count("rate_limit_rpm"), key: v.text("api_key_encrypted")}
	headers := unquoted(v.text("custom_headers"))
	p.headers = headers != "" && headers != "null" && headers != "{}" && headers != "[]"
	p.base, p.protocol, p.foreign = v.endpoint()
	return p
}

// endpoint reduces the address of a call to the base that a dialect begins with,
// and tells the dialect. What is spoken behind other addresses is foreign. The
// query goes: some put the key there.
func (v pocRow) endpoint() (base, protocol string, foreign bool) {
	text := v.text("api_endpoint")
	if text == "" {
		return "", "", false
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		v.bad("api_endpoint", "must be an address such as https://api.example.com/v1/chat/completions, without a user")
		return "", "", false
	}
	path := strings.TrimRight(u.Path, "/")
	protocol = "openai"
	before, model, named := strings.Cut(path, "/models/")
	switch {
	case named && strings.Contains(model, ":"): // …/models/{model}:generateContent
		path, protocol = before, "gemini"
	case named:
		path, foreign = before, true
	case strings.HasSuffix(path, "/messages"):
		path, protocol = strings.TrimSuffix(path, "/messages"), "anthropic"
	default:
		for _, call := range []string{"/chat/completions", "/completions", "/responses", "/models"} {
			if cut, ok := strings.CutSuffix(path, call); ok {
				path = cut
				break
			}
		}
	}
	return u.Scheme + "://" + u.Host + (&url.URL{Path: path}).EscapedPath(), protocol, foreign
}
