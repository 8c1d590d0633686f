local kumo = require 'kumo'

local mod = {}

mod.all = {
  acme = { max_age = '3 days', retry_interval = '15m' },
  typo = { max_aeg = '3 days' },
}

function mod.queue(tenant)
  local params = mod.all[tenant]
  if params then
    return kumo.make_queue_config(params)
  end
end

return mod
