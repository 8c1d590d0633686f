-- What handlers do to headers and metadata.
local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/kumomta/data' }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta' }
end)

kumo.on('smtp_server_message_received', function(msg, conn_meta)
  msg:import_x_headers()
  msg:remove_x_headers { 'X-Secret' }
  msg:remove_all_named_headers 'x-mailer'

  local from = msg:from_header()
  if from then
    msg:set_meta('from_domain', from.domain)
    msg:set_meta('from_name', from.name)
  end
  local to = msg:to_header()
  local names = {}
  for _, address in ipairs(to and to.list or {}) do
    table.insert(names, address.email)
  end
  msg:set_meta('to', table.concat(names, ' '))

  msg:append_header('X-Bottom', 'last')
  msg:prepend_header('X-Top', 'first')
  msg:append_header('X-Greeting', 'Grüße aus Köln', true)

  msg:set_meta('received', #msg:get_all_named_header_values 'Received')
  msg:set_meta('from_ip', conn_meta:get_meta 'received_from')
  msg:set_meta('nested', { list = { 1, 2.5, true }, name = 'x' })
  conn_meta:set_meta('x_count', (conn_meta:get_meta 'x_count' or 0) + 1)
  msg:set_sender 'bounces@example.com'
  msg:set_meta('user', msg:sender().user)
end)
