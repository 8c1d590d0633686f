-- Who may send what.
local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/kumomta/data' }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta' }
end)

local DOMAINS = {
  ['example.com'] = { relay_to = true },
  ['client.example'] = { relay_from = { '10.0.0.0/24' } },
}

kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  local config = DOMAINS[domain]
  if config then
    return kumo.make_listener_domain(config)
  end
end)

kumo.on('smtp_server_message_received', function(msg)
  local to = msg:recipient().email
  if to == 'soft@example.com' then
    kumo.reject(450, '4.2.1 mailbox busy')
  elseif to == 'hard@example.com' then
    kumo.reject(550, '5.7.1 not here')
  elseif to == 'plain@example.com' then
    kumo.reject(554, 'no enhanced code')
  elseif to == 'gone@example.com' then
    kumo.disconnect(421, '4.3.2 closing')
  elseif to == 'bug@example.com' then
    local missing
    return missing.field
  end
end)
