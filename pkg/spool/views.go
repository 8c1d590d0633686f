package spool

// Column is a column of a view of index.db.
type Column struct {
	Name string
	Doc  string
}

// View is a view of index.db: part of the contract with those who read it. Columns are only ever added.
type View struct {
	Name    string
	Doc     string
	Columns []Column
	Example string // a query
	Answers string // what the example finds out
}

// messageColumns are the columns of the view messages.
func messageColumns() []Column {
	return []Column{
		{"id", "32 hexadecimal digits."},
		{"queue", "The scheduled queue: campaign:tenant@domain!routing_domain."},
		{"domain", "Of the queue's name; so are the next three. An empty text stands for none."},
		{"tenant", ""},
		{"campaign", ""},
		{"routing_domain", ""},
		{"sender", "The envelope sender without angle brackets; empty for the null sender."},
		{"recipients", "The envelope recipients that are left, a JSON list of texts."},
		{"created", "When it was taken in, in seconds since 1970."},
		{"due", "When it is tried next, in seconds since 1970; a time that has passed means now."},
		{"attempts", "How often it was tried."},
		{"size", "Bytes of header and body."},
		{"last_response", "What the latest attempt met; empty before the first."},
		{"state", "scheduled; held if an order holds it; trashed, in the view trash only."},
		{"held_by", "The order that holds or trashed it; empty if none did."},
	}
}

// MessageColumns are the names of the columns of the view messages, which conditions (Match.Where) speak of.
func MessageColumns() []string {
	cols := messageColumns()
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	return names
}

// Views are the views of index.db.
func Views() []View {
	return []View{
		{
			Name: "messages", Doc: "The messages that wait, one row each. Those in the trash are not among them.",
			Columns: messageColumns(),
			Answers: "Which answers keep most mail waiting?",
			Example: `SELECT count(*) AS messages, substr(last_response, 1, 60) AS answer
FROM messages WHERE attempts > 0
GROUP BY answer ORDER BY messages DESC LIMIT 10`,
		},
		{
			Name: "queues", Doc: "The scheduled queues that have messages, one row each. Messages in the trash do not count.",
			Columns: []Column{
				{"queue", "Its name."},
				{"domain", "Of its name; so are the next three."},
				{"tenant", ""},
				{"campaign", ""},
				{"routing_domain", ""},
				{"messages", "How many wait, held ones included."},
				{"held", "How many of them orders hold."},
				{"bytes", "Their size together."},
				{"attempts", "How often they were tried, together."},
				{"oldest", "When the oldest was taken in, in seconds since 1970."},
				{"next_due", "When the next one is tried, in seconds since 1970; NULL if all are held."},
			},
			Answers: "Which tenants have most mail waiting, and since when?",
			Example: `SELECT tenant, sum(messages) AS messages, datetime(min(oldest), 'unixepoch') AS since
FROM queues GROUP BY tenant ORDER BY messages DESC LIMIT 10`,
		},
		{
			Name: "attempts", Doc: "What the latest attempts for messages that still wait met: at most 16 for each, one row each.",
			Columns: []Column{
				{"id", "The message."},
				{"queue", "Its scheduled queue."},
				{"number", "Which attempt it was, from 1."},
				{"time", "When it ended, in seconds since 1970."},
				{"response", "What the peer answered, or what went wrong before it could."},
				{"source", "The egress source; NULL if none was chosen."},
				{"peer", "Name and address of the host that answered; NULL if none did."},
			},
			Answers: "Which hosts turned mail away within the last hour?",
			Example: `SELECT peer, count(*) AS attempts, max(response) AS example
FROM attempts WHERE time > unixepoch() - 3600
GROUP BY peer ORDER BY attempts DESC LIMIT 10`,
		},
		{
			Name: "orders", Doc: "The orders of the last 30 days that act on messages, and all whose effect lasts, one row each.",
			Columns: []Column{
				{"id", "32 hexadecimal digits."},
				{"kind", "requeue, bounce, suspend, resume, rebind, hold, release, purge or undo."},
				{"author", "Who gave it."},
				{"created", "When it was given, in seconds since 1970."},
				{"finished", "When it was carried out, in seconds since 1970; NULL before that."},
				{"state", "waiting, done or failed."},
				{"standing", "1 if something of it lasts: a hold, a suspension, mail in the trash."},
				{"reason", "The reason given, NULL for none."},
				{"match", "Which messages it is about, as JSON."},
				{"expires", "When its effect ends by itself, in seconds since 1970, or NULL."},
				{"matched", "How many messages it found."},
				{"done", "How many of them it changed."},
				{"busy", "How many were just being tried."},
				{"error", "Why it failed, NULL if it did not."},
			},
			Answers: "Who changed what today?",
			Example: `SELECT datetime(created, 'unixepoch') AS time, author, kind, done, reason
FROM orders WHERE created > unixepoch('now', 'start of day') ORDER BY created`,
		},
		{
			Name: "trash", Doc: "The messages that kumo queue undo can bring back, one row each. The columns are those of messages, and:",
			Columns: append(messageColumns(), Column{"trashed", "When it was bounced, in seconds since 1970, rounded down to the minute."}),
			Answers: "Which orders have mail in the trash?",
			Example: `SELECT held_by AS "order", count(*) AS messages, datetime(min(trashed), 'unixepoch') AS since
FROM trash GROUP BY held_by`,
		},
	}
}
