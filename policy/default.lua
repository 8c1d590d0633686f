-- The policy that kumo runs when no other is named and /opt/kumomta/etc/policy/init.lua does not exist.
--
-- It relays mail for this machine only, keeps it under kumo.state_dir ($XDG_STATE_HOME/kumo, or
-- ~/.local/state/kumo), and delivers to the MX hosts of each domain. To change something, save this text as a
-- file, edit it, and run `kumo serve --policy FILE`.

local kumo = require 'kumo'

kumo.on('init', function()
  -- Mail waits here until it is delivered. Everything is kept under the path of `data`; `meta` is there because
  -- KumoMTA's policies define both.
  kumo.define_spool {
    name = 'data',
    path = kumo.state_dir .. '/spool/data',
  }
  kumo.define_spool {
    name = 'meta',
    path = kumo.state_dir .. '/spool/meta',
  }

  -- One record for each thing that happens to a message. `kumo log tail` reads them.
  kumo.configure_local_logs {
    log_dir = kumo.state_dir .. '/logs',
    headers = { 'Subject' },
    max_segment_duration = '1 hour',
  }

  -- Mail comes in here. Only programs on this machine may send.
  kumo.start_esmtp_listener {
    listen = '127.0.0.1:2525',
    relay_hosts = { '127.0.0.1', '::1' },
  }

  -- Liveness and metrics, for this machine only.
  kumo.start_http_listener {
    listen = '127.0.0.1:8000',
    trusted_hosts = { '127.0.0.1', '::1' },
  }
end)

-- What is not said here has its default: see kumo-queue-config(5) and kumo-egress-path(5). These are the questions
-- that a policy of your own would answer:
--
--   kumo.on('smtp_server_message_received', function(msg, conn_meta) … end)          -- look at mail, change or reject it
--   kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain) … end)   -- retries, pools
--   kumo.on('get_egress_pool', function(name) … end)                                  -- sets of sources
--   kumo.on('get_egress_source', function(name) … end)                                -- source addresses
--   kumo.on('get_egress_path_config', function(domain, source, site) … end)           -- limits and TLS for each site
