package policy

import (
	"context"
	"testing"

	"kumo/pkg/message"
)

const benchPolicy = `
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  local tenant = msg:get_first_named_header_value 'X-Tenant'
  msg:set_meta('tenant', tenant)
  if msg:get_meta 'reception_protocol' == 'HTTP' then
    kumo.reject(550, 'no')
  end
end)
kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config { egress_pool = 'pool-' .. (tenant or 'x'), max_age = '1 day', retry_interval = '10m' }
end)
kumo.on('get_listener_domain', function(domain) return nil end)
kumo.on('get_egress_path_config', function(domain, source, site)
  return kumo.make_egress_path { connection_limit = 10, max_ready = 100, enable_tls = 'Disabled' }
end)`

func BenchmarkMessageReceived(b *testing.B) {
	p := load(b, benchPolicy)
	ctx := context.Background()
	conn := message.NewMeta(nil)
	conn.Set("reception_protocol", "ESMTP")
	conn.Freeze()
	m := newMessage("Received: from x\r\nFrom: a@b.example\r\nX-Tenant: acme\r\nSubject: x\r\n")
	b.ReportAllocs()
	for b.Loop() {
		m.Meta = message.NewMeta(conn)
		if err := p.MessageReceived(ctx, "ESMTP", m, conn); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessageReceivedEmptyHandler(b *testing.B) {
	p := load(b, "kumo.on('smtp_server_message_received', function() end)")
	ctx, m := context.Background(), newMessage("")
	b.ReportAllocs()
	for b.Loop() {
		if err := p.MessageReceived(ctx, "ESMTP", m, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessageReceivedNoHandler(b *testing.B) {
	p := load(b, "")
	ctx, m := context.Background(), newMessage("")
	b.ReportAllocs()
	for b.Loop() {
		if err := p.MessageReceived(ctx, "ESMTP", m, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReject(b *testing.B) {
	p := load(b, "kumo.on('smtp_server_message_received', function() kumo.reject(550, '5.7.1 no') end)")
	ctx, m := context.Background(), newMessage("")
	b.ReportAllocs()
	for b.Loop() {
		if err := p.MessageReceived(ctx, "ESMTP", m, nil); err == nil {
			b.Fatal("not rejected")
		}
	}
}

func BenchmarkQueueConfig(b *testing.B) {
	p := load(b, benchPolicy)
	ctx := context.Background()
	name := message.QueueName{Domain: "example.com", Tenant: "acme"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.QueueConfig(ctx, name); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEgressPath(b *testing.B) {
	p := load(b, benchPolicy)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.EgressPath(ctx, "example.com", "ip-1", "mx.example.com"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListenerDomain(b *testing.B) {
	p := load(b, benchPolicy)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.ListenerDomain(ctx, "example.com", "127.0.0.1:25", nil); err != nil {
			b.Fatal(err)
		}
	}
}
