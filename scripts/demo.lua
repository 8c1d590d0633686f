-- The sending kumo of `make demo`: takes mail for anybody and delivers all of it to the sink beside it, whose address
-- is in KUMO_DEMO_SINK, such as 127.0.0.1:2526.

local kumo = require 'kumo'

local dir = kumo.state_dir .. '/demo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = dir .. '/spool/data' }
  kumo.define_spool { name = 'meta', path = dir .. '/spool/meta' }
  kumo.configure_local_logs { log_dir = dir .. '/logs', headers = { 'Subject' } }
  kumo.start_esmtp_listener { listen = '127.0.0.1:0', relay_hosts = { '127.0.0.1' } }
end)

kumo.on('smtp_server_message_received', function(msg)
  local host, port = os.getenv('KUMO_DEMO_SINK'):match '^(.*):(%d+)$'
  msg:set_meta('routing_domain', '[' .. host .. ']:' .. port)
end)

kumo.on('get_egress_path_config', function(domain, source, site)
  return kumo.make_egress_path {
    prohibited_hosts = {}, -- loopback is prohibited by default
    enable_tls = 'OpportunisticInsecure', -- the sink's certificate is self-signed
  }
end)
