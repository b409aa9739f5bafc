package api

import (
	"encoding/json"
	"html/template"
	"net/http"
	"reflect"
	"sort"
	"strings"
	"time"
)

// openAPI serves the OpenAPI 3.1 description, made from the list of routes and
// the types that handlers read and write.
func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	return send(w, http.StatusOK, s.description())
}

func (s *Server) description() map[string]any {
	schemas := map[string]any{}
	paths := map[string]map[string]any{}
	for _, rt := range s.routes() {
		path := strings.ReplaceAll(rt.path, "...}", "}")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(rt.method)] = operation(rt, path, schemas)
	}
	problems := schemaOf(reflect.TypeFor[problem](), schemas)
	return map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "OneMind", "version": s.Version, "description": "Ask many models, pay exactly. Money is whole nano-dollars in fields that end in _nano_usd; 1 credit is 10,000,000."},
		"paths":   paths,
		"components": map[string]any{"schemas": schemas, "responses": map[string]any{"Problem": map[string]any{"description": "What went wrong",
			"content": map[string]any{"application/problem+json": map[string]any{"schema": problems}}}},
			"securitySchemes": map[string]any{"session": map[string]any{"type": "apiKey", "in": "cookie", "name": "om_session"}, "key": map[string]any{"type": "http", "scheme": "bearer"}}},
	}
}

func operation(rt route, path string, schemas map[string]any) map[string]any {
	answer := map[string]any{"description": "Done"}
	if rt.out != nil {
		answer["content"] = map[string]any{"application/json": map[string]any{"schema": schemaOf(reflect.TypeOf(rt.out), schemas)}}
	}
	op := map[string]any{"summary": rt.summary, "operationId": operationID(rt.method, path),
		"responses": map[string]any{"2XX": answer, "default": map[string]any{"$ref": "#/components/responses/Problem"}}}
	if rt.in != nil {
		op["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/json": map[string]any{"schema": schemaOf(reflect.TypeOf(rt.in), schemas)}}}
	}
	var params []any
	for _, part := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params = append(params, map[string]any{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
		}
	}
	if params != nil {
		op["parameters"] = params
	}
	switch rt.guard {
	case member, admin:
		op["security"] = []any{map[string]any{"session": []any{}}}
	case bearer:
		op["security"] = []any{map[string]any{"key": []any{}}}
	case either:
		op["security"] = []any{map[string]any{"key": []any{}}, map[string]any{"session": []any{}}}
	}
	return op
}

func operationID(method, path string) string {
	words := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/{}._", r) })
	return strings.ToLower(method) + "_" + strings.Join(words, "_")
}

// schemaOf describes a type as JSON Schema; named structs go to components.
func schemaOf(t reflect.Type, schemas map[string]any) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[decimal](), t == reflect.TypeFor[json.RawMessage]():
		return map[string]any{"type": "number"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), schemas)
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer", "format": "int64"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), schemas)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), schemas)}
	case reflect.Struct:
		return structSchema(t, schemas)
	}
	return map[string]any{}
}

func structSchema(t reflect.Type, schemas map[string]any) map[string]any {
	name := strings.Map(func(r rune) rune {
		if r == '[' || r == ']' || r == '/' || r == '.' || r == '*' {
			return '_'
		}
		return r
	}, strings.ReplaceAll(t.Name(), "onemind/internal/", ""))
	ref := map[string]any{"$ref": "#/components/schemas/" + name}
	if _, done := schemas[name]; name != "" && done {
		return ref
	}
	fields, required := map[string]any{}, []string{}
	body := map[string]any{"type": "object", "properties": fields}
	if name != "" {
		schemas[name] = body // before the fields: a type may hold itself
	}
	addFields(t, fields, &required, schemas)
	if len(required) > 0 {
		sort.Strings(required)
		body["required"] = required
	}
	if name == "" {
		return body
	}
	return ref
}

func addFields(t reflect.Type, fields map[string]any, required *[]string, schemas map[string]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			addFields(f.Type, fields, required, schemas)
			continue
		}
		if tag == "" || tag == "-" || !f.IsExported() {
			continue
		}
		fields[tag] = schemaOf(f.Type, schemas)
		if !strings.Contains(options, "omitempty") && f.Type.Kind() != reflect.Pointer {
			*required = append(*required, tag)
		}
	}
}

// docs shows the description as one page that needs nothing from elsewhere.
func (s *Server) docs(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	type line struct{ Method, Path, Summary, Who, In, Out string }
	who := map[guard]string{anyone: "anyone", member: "signed in", admin: "administrator", bearer: "API key", either: "API key or signed in"}
	show := func(v any) string {
		if v == nil {
			return ""
		}
		schemas := map[string]any{}
		top := schemaOf(reflect.TypeOf(v), schemas)
		b, err := json.MarshalIndent(map[string]any{"body": top, "types": schemas}, "", "  ")
		if err != nil {
			return ""
		}
		return string(b)
	}
	var lines []line
	for _, rt := range s.routes() {
		lines = append(lines, line{rt.method, rt.path, rt.summary, who[rt.guard], show(rt.in), show(rt.out)})
	}
	page, err := template.New("docs").Parse(docsPage)
	if err != nil {
		return err
	}
	return page.Execute(w, map[string]any{"Version": s.Version, "Lines": lines})
}

const docsPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>OneMind API</title><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:.5rem}
details{border-bottom:1px solid #8884;padding:.5rem 0}summary{cursor:pointer}b{display:inline-block;min-width:4.5rem}
</style></head><body><h1>OneMind API</h1><p>Version {{.Version}}. Machine-readable: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).
Money is whole nano-dollars in fields that end in <code>_nano_usd</code>; one credit is 10,000,000. Errors of <code>/api</code> are RFC 9457 problems with <code>code</code> and <code>request_id</code>; those of <code>/v1</code> have OpenAI's shape.</p>
<h2>Call it with an OpenAI client</h2><pre>curl -H "Authorization: Bearer om_…" -H "Content-Type: application/json" \
  -d '{"model":"demo","messages":[{"role":"user","content":"Hello"}]}' http://localhost:8080/v1/chat/completions</pre>
<h2>Addresses</h2>{{range .Lines}}<details><summary><b>{{.Method}}</b> <code>{{.Path}}</code> — {{.Summary}}</summary><p>For: {{.Who}}.</p>
{{if .In}}<p>Request body</p><pre tabindex="0">{{.In}}</pre>{{end}}{{if .Out}}<p>Answer</p><pre tabindex="0">{{.Out}}</pre>{{end}}</details>{{end}}</body></html>`
