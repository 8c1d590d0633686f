-- The smallest sink: everything goes to the null queue.
local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/kumomta/data', kind = 'RocksDB' }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta', kind = 'RocksDB' }
  kumo.configure_local_logs { log_dir = '/var/log/kumomta' }
  kumo.start_http_listener { listen = '127.0.0.1:8000' }
  kumo.start_esmtp_listener {
    listen = '0.0.0.0:25',
    hostname = 'sink.example.com',
    relay_hosts = { '127.0.0.1', '192.168.1.0/24' },
  }
end)

kumo.on('smtp_server_message_received', function(msg)
  msg:set_meta('queue', 'null')
end)
