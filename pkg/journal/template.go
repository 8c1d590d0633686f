package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"kumo/pkg/journal/internal/jinja"
)

// compile reads a template and tries it on a record that has every field, so that mistakes are heard of at the start.
func compile(source string) (*jinja.Template, error) {
	t, err := jinja.Compile(source)
	if err != nil {
		return nil, err
	}
	vars, err := variables([]byte(sample))
	if err != nil {
		return nil, err
	}
	if _, err := t.Render(nil, vars); err != nil {
		return nil, err
	}
	return t, nil
}

// sample is a record with all that templates may ask for.
const sample = `{"type":"Delivery","id":"d7ef132b5d7711eea8c8000c29c33806","sender":"a@example.com","recipient":"b@example.net",` +
	`"queue":"example.net","site":"src->mx@smtp_client","size":100,"response":{"code":250,"enhanced_code":{"class":2,"subject":0,"detail":0},` +
	`"content":"OK","command":"."},"peer_address":{"name":"mx.example.net","addr":"192.0.2.1"},"timestamp":1700000000,` +
	`"event_time":"2023-11-14T22:13:20Z","created":1700000000,"created_time":"2023-11-14T22:13:20Z","num_attempts":0,` +
	`"bounce_classification":"Uncategorized","egress_pool":"pool","egress_source":"src","source_address":{"address":"192.0.2.2:3",` +
	`"protocol":"socks5","server":"192.0.2.3:1080"},"feedback_report":{},"delivery_protocol":"ESMTP","reception_protocol":"ESMTP",` +
	`"nodeid":"cd2d7b6c-5d77-11ee-a8c8-000c29c33806","tls_cipher":"TLS_AES_256_GCM_SHA384","tls_protocol_version":"TLSv1.3",` +
	`"tls_peer_subject_name":["CN=mx"],"provider_name":"provider","session_id":"cd2d7b6c-5d77-41ee-a8c8-000c29c33806","meta":{},"headers":{}}`

// variables are the fields of a record as a template sees them.
func variables(line []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var vars map[string]any
	if err := dec.Decode(&vars); err != nil {
		return nil, fmt.Errorf("decode the record: %w", err)
	}
	plain(vars)
	if headers, ok := vars["headers"].(map[string]any); ok {
		vars["headers"] = lowerKeys(headers)
	}
	jinja.Prepare(vars)
	whole := make(map[string]any, len(vars))
	for k, v := range vars {
		whole[k] = v
	}
	vars["log_record"] = whole
	return vars, nil
}

// plain makes numbers of json.Number in place: whole ones int64.
func plain(v any) any {
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n
		}
		f, _ := x.Float64()
		return f
	case map[string]any:
		for k, e := range x {
			x[k] = plain(e)
		}
	case []any:
		for i, e := range x {
			x[i] = plain(e)
		}
	}
	return v
}

func lowerKeys(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[strings.ToLower(k)] = v
	}
	return out
}

// render is the text of a record; the record itself where the template fails: a fact is not dropped for that.
func (l *logger) render(t *jinja.Template, line []byte) []byte {
	vars, err := variables(line)
	if err == nil {
		var text []byte
		if text, err = t.Render(nil, vars); err == nil {
			if len(text) == 0 {
				return nil
			}
			return endLine(text)
		}
	}
	l.sayOnce("a template failed and the record is written as JSON", err)
	return line
}

// endLine ends text with a line end.
func endLine(text []byte) []byte {
	if text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	return text
}

// wants asks the policy whether this logger writes a record. Records without a message are written.
func (l *logger) wants(r *Record) bool {
	if r.Msg == nil {
		return true
	}
	ok, err := l.filter.Wants(l.o.FilterEvent, r.Msg)
	if err != nil {
		l.sayOnce("filter_event failed and the record is written", err)
		return true
	}
	return ok
}

// sayOnce tells of trouble that would come back with every record.
func (l *logger) sayOnce(what string, err error) {
	text := err.Error()
	if old := l.said.Swap(&text); old == nil || *old != text {
		l.log.Error(what, "log_dir", l.o.LogDir, "error", err)
	}
}
