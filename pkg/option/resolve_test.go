package option

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type tlsMode string

type smtpProto struct {
	MXList []string `opt:"mx_list"`
	Secure bool     `opt:"treat_mx_list_as_secure"`
}

type proto struct {
	SMTP    *smtpProto `opt:"smtp"`
	Maildir string     `opt:"maildir_path"`
}

func (p proto) Check() error {
	if p.SMTP != nil && p.Maildir != "" {
		return errors.New("smtp and maildir_path exclude each other")
	}
	return nil
}

type trace struct {
	Received bool   `opt:"received_header,default=true"`
	Name     string `opt:"header_name,default=X-KumoRef"`
}

// portOrAny is a union, as other rooms declare them.
type portOrAny struct {
	any  bool
	port int64
}

func (p *portOrAny) DecodeOption(v any) error {
	if v == "any" {
		p.any = true
		return nil
	}
	n, err := Int(v)
	if err != nil {
		return errors.New("not a port: " + fmt.Sprint(v))
	}
	p.port = n
	return nil
}

type base struct {
	Name string `opt:"name,required"`
}

type sample struct {
	base
	MaxReady  int              `opt:"max_ready,default=1024,min=1"`
	Limit     uint16           `opt:"limit,default=25,max=65535"`
	Ratio     float64          `opt:"ratio,default=0.5,min=0,max=1"`
	Pipeline  bool             `opt:"enable_pipelining,default=true"`
	TLS       tlsMode          `opt:"enable_tls,default=Opportunistic,enum=Opportunistic|Required|Disabled"`
	Idle      Duration         `opt:"idle_timeout,default=60s,min=1s,max=1d,alias=idle,alias=idle_time"`
	Std       time.Duration    `opt:"std,default=5m"`
	Remember  *Duration        `opt:"remember_broken_tls"`
	Size      Size             `opt:"max_message_size,default=20971520"`
	Hosts     CIDRSet          `opt:"prohibited_hosts,default=127.0.0.0/8|::1"`
	Suites    []string         `opt:"rustls_cipher_suites"`
	Extra     map[string]int   `opt:"additional_limits,merge=map"`
	Meta      map[string]any   `opt:"meta"`
	Password  *Secret          `opt:"password"`
	Token     string           `opt:"token,secret"`
	Proto     proto            `opt:"protocol"`
	Trace     trace            `opt:"trace_headers"`
	Via       map[string]trace `opt:"via"`
	Entries   []trace          `opt:"entries"`
	Addr      netip.Addr       `opt:"source_address"`
	Port      portOrAny        `opt:"port"`
	Free      Amount           `opt:"min_free_space,default=10%"`
	Old       int              `opt:"old,deprecated=use max_ready"`
	Untagged  int
	Anything  any `opt:"anything"`
	RangeFrom int `opt:"range_from"`
	RangeTo   int `opt:"range_to"`
}

func (s *sample) Check() error {
	if s.RangeFrom > s.RangeTo {
		return &Error{Option: "range_from", Msg: "invalid value: range_from is above range_to"}
	}
	if s.RangeFrom == 13 {
		return errors.New("invalid combination: thirteen")
	}
	return nil
}

var sampleSchema = SchemaOf[sample]()

func lua(line int) Origin { return Origin{Kind: KindLua, At: fmt.Sprintf("init.lua:%d", line)} }

func layer(line int, kv ...any) Layer {
	m := map[string]any{"name": "n"}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i].(string)] = kv[i+1]
	}
	return NewLayer(m, lua(line))
}

type list = []any

type table = map[string]any

func TestResolveValues(t *testing.T) {
	tests := []struct {
		name string
		kv   []any
		get  func(s sample) any
		want any
	}{
		{"defaults", nil, func(s sample) any {
			return []any{s.MaxReady, s.Limit, s.Ratio, s.Pipeline, s.TLS, s.Idle.Std(), s.Std, s.Remember == nil, s.Size, s.Trace.Name, s.Free.String()}
		}, list{1024, uint16(25), 0.5, true, tlsMode("Opportunistic"), time.Minute, 5 * time.Minute, true, Size(20971520), "X-KumoRef", "10%"}},
		{"embedded", nil, func(s sample) any { return s.Name }, "n"},
		{"whole float", list{"max_ready", 7.0}, func(s sample) any { return s.MaxReady }, 7},
		{"enum", list{"enable_tls", "Required"}, func(s sample) any { return s.TLS }, tlsMode("Required")},
		{"duration text", list{"idle_timeout", "1h 30m"}, func(s sample) any { return s.Idle.String() }, "1h30m"},
		{"duration number", list{"idle_timeout", 1.5}, func(s sample) any { return s.Idle.Std() }, 1500 * time.Millisecond},
		{"alias", list{"idle_time", int64(2)}, func(s sample) any { return s.Idle.Std() }, 2 * time.Second},
		{"pointer", list{"remember_broken_tls", "3 days"}, func(s sample) any { return s.Remember.Std() }, 72 * time.Hour},
		{"nil is unset", list{"max_ready", nil}, func(s sample) any { return s.MaxReady }, 1024},
		{"default set", nil, func(s sample) any { return s.Hosts.Contains(netip.MustParseAddr("127.3.2.1")) }, true},
		{"empty table as list", list{"prohibited_hosts", table{}}, func(s sample) any { return s.Hosts.IsEmpty() }, true},
		{"empty list as map", list{"meta", list{}}, func(s sample) any { return len(s.Meta) }, 0},
		{"empty list as struct", list{"trace_headers", list{}}, func(s sample) any { return s.Trace }, trace{true, "X-KumoRef"}},
		{"strings", list{"rustls_cipher_suites", list{"a", "b"}}, func(s sample) any { return s.Suites }, []string{"a", "b"}},
		{"map", list{"additional_limits", table{"a": int64(1), "b": 2.0}}, func(s sample) any { return s.Extra }, map[string]int{"a": 1, "b": 2}},
		{"any in map", list{"meta", table{"a": list{int64(1)}}}, func(s sample) any { return s.Meta }, map[string]any{"a": list{int64(1)}}},
		{"nested", list{"protocol", table{"smtp": table{"mx_list": list{"a:25"}}}}, func(s sample) any { return s.Proto.SMTP.MXList }, []string{"a:25"}},
		{"nested keeps its defaults", list{"trace_headers", table{"received_header": false}}, func(s sample) any { return s.Trace }, trace{false, "X-KumoRef"}},
		{"map of structs", list{"via", table{"10.0.0.0/8": table{"header_name": "X"}}}, func(s sample) any { return s.Via }, map[string]trace{"10.0.0.0/8": {true, "X"}}},
		{"list of structs", list{"entries", list{table{}, table{"header_name": "Y"}}}, func(s sample) any { return s.Entries }, []trace{{true, "X-KumoRef"}, {true, "Y"}}},
		{"address", list{"source_address", "::1"}, func(s sample) any { return s.Addr.String() }, "::1"},
		{"union word", list{"port", "any"}, func(s sample) any { return s.Port.any }, true},
		{"union number", list{"port", int64(26)}, func(s sample) any { return s.Port.port }, int64(26)},
		{"anything", list{"anything", false}, func(s sample) any { return s.Anything }, false},
		{"secret", list{"password", table{"key_data": "s3cret"}}, func(s sample) any { return s.Password.KeyData }, "s3cret"},
		{"amount", list{"min_free_space", int64(5)}, func(s sample) any { return s.Free.Of(100) }, uint64(5)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := sampleSchema.Resolve("make_sample", layer(1, tt.kv...))
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.get(r.Value); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
}

func TestResolveErrors(t *testing.T) {
	tests := []struct {
		name string
		kv   []any
		want string
	}{
		{"unknown", list{"max_redy", int64(1)}, "unknown field `max_redy`, did you mean `max_ready`?, while processing option max_redy"},
		{"unknown and nil", list{"max_redy", nil}, "unknown field `max_redy`, did you mean `max_ready`?, while processing option max_redy"},
		{"unknown, nothing near", list{"zzzzzz", int64(1)}, "unknown field `zzzzzz`, while processing option zzzzzz"},
		{"unknown nested", list{"trace_headers", table{"reveived_header": true}}, "unknown field `reveived_header`, did you mean `received_header`?, while processing option trace_headers.reveived_header"},
		{"type", list{"max_ready", "abc"}, "invalid type: string \"abc\", expected an integer for `max_ready`, while processing option max_ready"},
		{"fraction", list{"max_ready", 1.5}, "invalid type: floating point `1.5`, expected an integer for `max_ready`, while processing option max_ready"},
		{"bool", list{"enable_pipelining", "yes"}, "invalid type: string \"yes\", expected a boolean for `enable_pipelining`, while processing option enable_pipelining"},
		{"string", list{"name", int64(5)}, "invalid type: integer `5`, expected a string for `name`, while processing option name"},
		{"min", list{"max_ready", int64(0)}, "invalid value: integer `0`, expected at least 1, while processing option max_ready"},
		{"overflow", list{"limit", int64(70000)}, "invalid value: integer `70000`, expected an integer from 0 to 65535, while processing option limit"},
		{"both bounds", list{"ratio", 1.5}, "invalid value: floating point `1.5`, expected a value from 0 to 1, while processing option ratio"},
		{"duration bound", list{"idle_timeout", "2 days"}, "invalid value: string \"2 days\", expected a value from 1s to 1d, while processing option idle_timeout"},
		{"duration unit", list{"std", "5"}, "invalid value: string \"5\", expected a duration such as \"5 mins\" or \"1h 30m\", or a number of seconds, time unit needed, for example 5sec, while processing option std"},
		{"variant", list{"enable_tls", "required"}, "invalid value: string \"required\", expected one of `Opportunistic`, `Required`, `Disabled`, did you mean `Required`?, while processing option enable_tls"},
		{"list", list{"rustls_cipher_suites", "a"}, "invalid type: string \"a\", expected a list for `rustls_cipher_suites`, while processing option rustls_cipher_suites"},
		{"element", list{"rustls_cipher_suites", list{"a", int64(1)}}, "invalid type: integer `1`, expected a string, while processing option rustls_cipher_suites[2]"},
		{"nil element", list{"rustls_cipher_suites", list{nil}}, "invalid type: null, expected a value of type string, while processing option rustls_cipher_suites[1]"},
		{"map", list{"meta", list{int64(1)}}, "invalid type: sequence, expected a map for `meta`, while processing option meta"},
		{"map entry", list{"additional_limits", table{"a": "x"}}, "invalid type: string \"x\", expected an integer, while processing option additional_limits[\"a\"]"},
		{"deep", list{"protocol", table{"smtp": table{"mx_list": list{true}}}}, "invalid type: boolean `true`, expected a string, while processing option protocol.smtp.mx_list[1]"},
		{"struct", list{"protocol", "smtp"}, "invalid type: string \"smtp\", expected a map of options for `protocol`, while processing option protocol"},
		{"in list of structs", list{"entries", list{table{"header_name": int64(4)}}}, "invalid type: integer `4`, expected a string for `header_name`, while processing option entries[1].header_name"},
		{"nested check", list{"protocol", table{"smtp": table{}, "maildir_path": "/x"}}, "invalid value: smtp and maildir_path exclude each other, while processing option protocol"},
		{"address", list{"source_address", "1.2.3"}, "invalid value: string \"1.2.3\", expected an IP address, while processing option source_address"},
		{"cidr host bits", list{"prohibited_hosts", list{"10.0.0.1/8"}}, "invalid value: string \"10.0.0.1/8\", expected a CIDR block whose host bits are zero, did you mean 10.0.0.0/8?, while processing option prohibited_hosts"},
		{"decoder", list{"port", "x"}, "invalid value: not a port: x, while processing option port"},
		{"long value", list{"max_ready", strings.Repeat("ä", 100)}, "invalid type: string \"" + strings.Repeat("ä", 40) + "…\", expected an integer for `max_ready`, while processing option max_ready"},
		{"secret tag", list{"token", int64(1234567)}, "invalid type: integer, expected a string for `token`, while processing option token"},
		{"secret table", list{"password", table{"key_data": "s3cret", "vault_path": "s3cret"}}, "invalid value: unknown field `vault_path` in a key source of kind data, while processing option password"},
		{"secret type", list{"password", list{"s3cret"}}, "invalid type: sequence, expected a key source: a path, or a table with key_data, vault_mount or event_name for `password`, while processing option password"},
		{"alias twice", list{"idle", int64(1), "idle_timeout", int64(1)}, "duplicate field `idle_timeout`, also given as `idle`, while processing option idle"},
		{"check option", list{"range_from", int64(3)}, "invalid value: range_from is above range_to, while processing option range_from"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sampleSchema.Resolve("make_sample", layer(41, tt.kv...))
			if err == nil {
				t.Fatal("no error")
			}
			want := "init.lua:41: make_sample: deserialize error: " + tt.want
			if err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
		})
	}
}
