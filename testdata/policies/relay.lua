-- A relay for load tests: everything goes to one sink on loopback, whatever its domain.
-- KUMO_DIR: where spool and logs go; KUMO_LISTEN: the listener; KUMO_SINK: host:port of the destination;
-- KUMO_RETRY: the retry interval.
local kumo = require 'kumo'

local dir = os.getenv 'KUMO_DIR' or '.'
local sink = os.getenv 'KUMO_SINK' or '127.0.0.1:2600'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = dir .. '/spool/data' }
  kumo.define_spool { name = 'meta', path = dir .. '/spool/meta' }
  kumo.configure_local_logs { log_dir = dir .. '/logs', max_segment_duration = '10s' }
  kumo.start_esmtp_listener {
    listen = os.getenv 'KUMO_LISTEN' or '127.0.0.1:2525',
    hostname = 'relay.test',
  }
end)

kumo.on('smtp_server_message_received', function(msg)
  msg:set_meta('tenant', msg:sender().user)
end)

kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config {
    retry_interval = os.getenv 'KUMO_RETRY' or '5s',
    protocol = { smtp = { mx_list = { sink } } },
  }
end)

kumo.on('get_egress_path_config', function(routing_domain, egress_source, site_name)
  return kumo.make_egress_path {
    prohibited_hosts = {},
    enable_tls = 'Disabled',
    max_ready = 50000, -- a burst must not wait for the schedule
  }
end)
