-- A sink: takes every message that this machine sends to 127.0.0.1:2526 and drops it. `make demo` runs it beside a
-- kumo that delivers to it.
--
--   kumo serve --policy policy/sink.lua
--
-- KUMO_SINK_LISTEN chooses another address. With KUMO_SINK_SHOW=1 it says on stderr what arrives.

local kumo = require 'kumo'

local dir = kumo.state_dir .. '/sink'

kumo.on('init', function()
  -- Nothing stays in this spool: mail for the queue `null` is dropped before it is stored. It must be defined all
  -- the same, and must not be the spool of another kumo.
  kumo.define_spool { name = 'data', path = dir .. '/spool/data' }
  kumo.define_spool { name = 'meta', path = dir .. '/spool/meta' }

  -- Dropped mail leaves no record here; refused mail does.
  kumo.configure_local_logs {
    log_dir = dir .. '/logs',
    headers = { 'Subject', 'Message-ID' },
    max_segment_duration = '1 minute',
  }

  kumo.start_esmtp_listener {
    listen = os.getenv 'KUMO_SINK_LISTEN' or '127.0.0.1:2526',
    banner = 'kumo sink',
    relay_hosts = { '127.0.0.1', '::1' },
    -- A sink should not be what limits a test.
    max_messages_per_connection = 1000000,
  }
end)

local show = os.getenv 'KUMO_SINK_SHOW' == '1'

kumo.on('smtp_server_message_received', function(msg)
  if show then
    kumo.log_info('arrived', msg:id(), 'for', tostring(msg:recipient()), msg:get_first_named_header_value 'Subject')
  end
  msg:set_meta('queue', 'null')
end)
