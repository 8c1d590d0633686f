package policy

import "kumo/pkg/luahost"

// The ids of the events that this package fires: their places in the table below.
const (
	evPreInit luahost.EventID = iota
	evInit
	evValidateConfig
	evMain
	evMessageReceived
	evHTTPMessageGenerated
	evListenerDomain
	evQueueConfig
	evEgressPool
	evEgressSource
	evEgressPath
	evRebindMessage
	evMessageEnumerated
)

// Events lists the events of KumoMTA. Those marked Unfired belong to parts that this version does not have; a policy
// that handles them loads, with a warning.
func Events() []luahost.Event {
	fired := []luahost.Event{
		{Name: "pre_init", Args: "()", Multiple: true, Doc: "Runs before init: the place for limits and cache sizes."},
		{Name: "init", Args: "()", Doc: "Runs once at start: defines spools, logs, listeners and the resolver."},
		{Name: "validate_config", Args: "()", Multiple: true, Doc: "Runs with --validate, after init: checks the configuration and calls kumo.validation_failed if it is wrong."},
		{Name: "main", Args: "(...)", Doc: "Runs with --script, with the words after --."},
		{Name: "smtp_server_message_received", Args: "(message, conn_meta)", Doc: "A message came in by SMTP or `kumo inject`. It may be changed, routed through its metadata, or rejected; it is spooled when the handler returns."},
		{Name: "http_message_generated", Args: "(message, auth_info)", Unfired: true, Doc: "A message came in by HTTP."},
		{Name: "get_listener_domain", Args: "(domain, listener, conn_meta)", Returns: "kumo.make_listener_domain{…} or nil", Doc: "May mail for or from this domain be relayed? Asked when relay_hosts does not decide."},
		{Name: "get_queue_config", Args: "(domain, tenant, campaign, routing_domain)", Returns: "kumo.make_queue_config{…}, or nothing to let the next handler answer", Multiple: true, Doc: "How a scheduled queue treats its messages. Absent parts of the queue's name are nil."},
		{Name: "get_egress_pool", Args: "(pool_name)", Returns: "kumo.make_egress_pool{…}", Doc: "The sources of a pool that a queue names."},
		{Name: "get_egress_source", Args: "(source_name)", Returns: "kumo.make_egress_source{…}", Doc: "The source that a pool names."},
		{Name: "get_egress_path_config", Args: "(routing_domain, egress_source, site_name)", Returns: "kumo.make_egress_path{…}, or nil for the defaults", Doc: "How to talk to a site from a source."},
		{Name: "rebind_message", Args: "(message, data)", Doc: "`kumo queue rebind --event` asks about a message that waits: envelope and metadata may be changed, and with them its scheduled queue. data is a table of what --set says. Changes of the content are not kept."},
		{Name: "spool_message_enumerated", Args: "(message)", Doc: "The daemon starts and has found a message in the spool. Envelope and metadata may be changed, and with them its scheduled queue. Changes of the content are not kept. An error ends the start."},
	}
	return append(append(fired, laterEvents()...), namedEvents()...)
}

// namedEvents are those to which options give a name.
func namedEvents() []luahost.Event {
	return []luahost.Event{
		{Name: "<keysource.event_name>", Args: "(args)", Returns: "string", Doc: "Key material, for a key source that names the event."},
		{Name: "<spawn_task.event_name>", Args: "(args)", Doc: "A task of kumo.spawn_task: it may run for as long as it likes."},
		{Name: "<configure_local_logs.filter_event>", Args: "(message)", Returns: "boolean", Doc: "Whether the logger that names the event writes a record about this message. Where it fails or is missing the record is written."},
	}
}

// laterEvents are KumoMTA's events that nothing fires yet.
func laterEvents() []luahost.Event {
	rows := []struct {
		name, args string
		multiple   bool
	}{
		{"get_acl_definition", "(resource)", true},
		{"http_server_validate_auth_basic", "(user, password)", false},
		{"http_server_validate_auth_bearer", "(token)", false},
		{"proxy_init", "()", false},
		{"proxy_server_auth_rfc1929", "(user, password)", false},
		{"requeue_message", "(message, smtp_response, insert_context, increment_attempts, delay)", true},
		{"should_enqueue_log_record", "(message, hook_name)", true},
		{"shutdown_logging", "()", false},
		{"smtp_client_rewrite_delivery_status", "(response, domain, tenant, campaign, routing_domain)", false},
		{"smtp_server_auth_plain", "(authz, authc, password, conn_meta)", false},
		{"smtp_server_connection_accepted", "(conn_meta)", false},
		{"smtp_server_data", "(message, conn_meta)", false},
		{"smtp_server_ehlo", "(domain, conn_meta)", false},
		{"smtp_server_get_dynamic_parameters", "(listener, conn_meta)", false},
		{"smtp_server_mail_from", "(sender, conn_meta)", false},
		{"smtp_server_message_deferred_inject", "(message, conn_meta)", false},
		{"smtp_server_rcpt_to", "(recipient, conn_meta)", false},
		{"smtp_server_rewrite_response", "(status, response, command, conn_meta)", false},
		{"smtp_server_split_transaction", "(message, conn_meta)", false},
		{"throttle_insert_ready_queue", "(message)", true},
		{"tsa_init", "()", false},
		{"tsa_load_shaping_data", "()", false},
		{"xfer_message_received", "(message)", false},
	}
	out := make([]luahost.Event, len(rows))
	for i, r := range rows {
		out[i] = luahost.Event{Name: r.name, Args: r.args, Multiple: r.multiple, Unfired: true, Doc: "Belongs to a part of KumoMTA that this version does not have."}
	}
	return out
}
