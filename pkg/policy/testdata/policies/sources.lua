-- Sources and pools from tables, one pool for each tenant.
local kumo = require 'kumo'

local SOURCES = {
  ['ip-1'] = { source_address = '10.0.0.1', ehlo_domain = 'mta1.example.com' },
  ['ip-2'] = { source_address = '10.0.0.2', ehlo_domain = 'mta2.example.com' },
  ['ip-3'] = { source_address = '10.0.0.3', ehlo_domain = 'mta3.example.com', ttl = '5 mins' },
}

local POOLS = {
  BestReputation = { ['ip-1'] = 2, ['ip-2'] = 1 },
  default = { ['ip-3'] = 1 },
}

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/kumomta/data' }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta' }
  kumo.configure_local_logs {
    log_dir = '/var/log/kumomta',
    max_segment_duration = '10 seconds',
    headers = { 'Subject', 'X-*' },
    meta = { 'tenant', 'campaign' },
  }
  kumo.start_esmtp_listener { listen = '0:25' and '127.0.0.1:25' }
end)

kumo.on('get_egress_source', function(name)
  local params = SOURCES[name]
  if params then
    return kumo.make_egress_source {
      name = name,
      source_address = params.source_address,
      ehlo_domain = params.ehlo_domain,
      ttl = params.ttl,
    }
  end
end)

kumo.on('get_egress_pool', function(name)
  local members = POOLS[name]
  if not members then
    return nil
  end
  local entries = {}
  for source, weight in pairs(members) do
    table.insert(entries, { name = source, weight = weight })
  end
  table.sort(entries, function(a, b)
    return a.name < b.name
  end)
  return kumo.make_egress_pool { name = name, entries = entries }
end)

kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  local pool = 'default'
  if tenant == 'gold' then
    pool = 'BestReputation'
  end
  return kumo.make_queue_config {
    egress_pool = pool,
    max_age = '1 day',
    retry_interval = '10 mins',
    max_retry_interval = '2 hours',
  }
end)

kumo.on('get_egress_path_config', function(routing_domain, egress_source, site_name)
  if site_name:find 'google' then
    return kumo.make_egress_path {
      connection_limit = 10,
      max_connection_rate = '5/s',
      max_message_rate = '100/s',
      enable_tls = 'Required',
      idle_timeout = 60,
      max_deliveries_per_connection = 50,
      consecutive_connection_failures_before_delay = 100,
    }
  end
  return kumo.make_egress_path { smtp_port = tonumber '2025', prohibited_hosts = {} }
end)

kumo.on('smtp_server_message_received', function(msg)
  local tenant = msg:get_first_named_header_value 'X-Tenant'
  if tenant then
    msg:set_meta('tenant', tenant)
  end
end)
