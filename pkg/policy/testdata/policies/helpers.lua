-- A policy in several files, with a setup step and checks.
local kumo = require 'kumo'
local tenants = require 'lib.tenants'

kumo.on('pre_init', function()
  kumo.set_max_lua_context_age(60)
  kumo.set_max_lua_context_use_count(100)
end)

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = 'spool/data', min_free_space = '5%' }
  kumo.define_spool { name = 'meta', path = 'spool/meta' }
  kumo.dns.configure_resolver { name_servers = { '10.0.0.53', '10.0.0.54:5353' } }
end)

kumo.on('get_queue_config', function(domain, tenant)
  return tenants.queue(tenant)
end)

kumo.on('validate_config', function()
  for name, params in pairs(tenants.all) do
    local ok, err = pcall(kumo.make_queue_config, params)
    if not ok then
      print(('tenant %s: %s'):format(name, tostring(err):match 'deserialize error: (.*), while processing'))
      kumo.validation_failed()
    end
  end
end)
