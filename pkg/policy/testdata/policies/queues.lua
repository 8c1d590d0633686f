-- Several handlers for get_queue_config: those that return nothing let the next one answer.
local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/kumomta/data' }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta' }
end)

kumo.on('get_queue_config', function(domain, tenant, campaign)
  if campaign == 'flash' then
    return kumo.make_queue_config { max_age = '20m', retry_interval = 60 }
  end
  return
end)

kumo.on('get_queue_config', function(domain, tenant)
  if tenant == 'slow' then
    return kumo.make_queue_config { retry_interval = '2h', max_message_rate = '100/s' }
  end
end)

kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  if routing_domain then
    return kumo.make_queue_config {
      protocol = { smtp = { mx_list = { routing_domain, { name = 'backup.example.com', addr = '10.1.2.3' } } } },
    }
  end
end)

kumo.on('smtp_server_message_received', function(msg)
  msg:import_x_headers { 'X-Campaign', 'X-Tenant' }
  msg:set_meta('campaign', msg:get_meta 'x_campaign')
  msg:set_meta('tenant', msg:get_meta 'x_tenant')
  if msg:recipient().domain == 'internal.example.com' then
    msg:set_meta('routing_domain', '[10.9.8.7]')
  end
end)
