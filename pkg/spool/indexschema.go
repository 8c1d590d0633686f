package spool

import "kumo/pkg/spool/internal/segment"

// indexVersion is the layout of index.db. Another one is thrown away and rebuilt.
const indexVersion = 2

// The states in the index. Taken messages are scheduled to those who look.
const (
	rowScheduled = 0
	rowHeld      = 1
	rowTrashed   = 2
)

// The words for states, in rows, filters and views.
const (
	StateScheduled = "scheduled" // waits for its due time, or is just being tried
	StateHeld      = "held"      // by an order
	StateTrashed   = "trashed"   // bounced by an order that can be undone
)

// rowState is the state in the index of a message in state s.
func rowState(s State) int64 {
	switch s {
	case OnHold:
		return rowHeld
	case Trashed:
		return rowTrashed
	}
	return rowScheduled
}

// rowIs are the columns of the index that say what orders have made of a message: state, hold, trash, trashed_at.
func rowIs(is segment.Standing) (state int64, hold, trash string, at int64) {
	switch {
	case is.Trash != "":
		state = rowTrashed
	case is.Hold != "":
		state = rowHeld
	}
	return state, is.Hold, is.Trash, is.TrashedAt
}

// stateWord is the word for a state in the index.
func stateWord(n int64) string {
	switch n {
	case rowHeld:
		return StateHeld
	case rowTrashed:
		return StateTrashed
	}
	return StateScheduled
}

// viewColumns make the columns of the view messages of a row m of message and q of queue.
const viewColumns = `lower(hex(m.id)) AS id, q.name AS queue, q.domain AS domain, q.tenant AS tenant,
  q.campaign AS campaign, q.routing_domain AS routing_domain, m.sender AS sender, m.recipients AS recipients,
  m.created / 1e9 AS created, iif(m.due, m.due, m.created) / 1e9 AS due, m.attempts AS attempts, m.size AS size,
  m.last_response AS last_response,
  CASE m.state WHEN 0 THEN 'scheduled' WHEN 1 THEN 'held' ELSE 'trashed' END AS state,
  CASE m.state WHEN 2 THEN m.trash ELSE m.hold END AS held_by`

const indexTables = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE queue (
  num            INTEGER PRIMARY KEY,
  name           TEXT NOT NULL UNIQUE,
  domain         TEXT NOT NULL,  -- the parts of the name
  tenant         TEXT NOT NULL,
  campaign       TEXT NOT NULL,
  routing_domain TEXT NOT NULL,
  messages       INTEGER NOT NULL DEFAULT 0, -- sums over the queue's rows that are not trashed
  held           INTEGER NOT NULL DEFAULT 0,
  bytes          INTEGER NOT NULL DEFAULT 0,
  attempts       INTEGER NOT NULL DEFAULT 0,
  oldest         INTEGER NOT NULL DEFAULT 0, -- nanoseconds since 1970
  next_due       INTEGER NOT NULL DEFAULT 0  -- nanoseconds since 1970 of those that are not held, 0: now; -1: none
);
CREATE TABLE message (
  seq           INTEGER PRIMARY KEY,
  id            BLOB NOT NULL UNIQUE,
  queue         INTEGER NOT NULL,
  sender        TEXT NOT NULL,
  recipients    TEXT NOT NULL,    -- JSON list
  created       INTEGER NOT NULL, -- nanoseconds since 1970
  due           INTEGER NOT NULL, -- nanoseconds since 1970, 0: now
  attempts      INTEGER NOT NULL,
  size          INTEGER NOT NULL, -- bytes
  last_response TEXT NOT NULL,
  history       TEXT NOT NULL,    -- JSON list of the latest attempts, '' for none
  state         INTEGER NOT NULL, -- 0 scheduled, 1 held, 2 trashed
  hold          TEXT NOT NULL,    -- the order that holds it, '' for none
  trash         TEXT NOT NULL,    -- the order that trashed it, '' for none
  trashed_at    INTEGER NOT NULL, -- nanoseconds since 1970, 0: never
  segment       INTEGER NOT NULL, -- where the accept record stands, and the length of its envelope
  offset        INTEGER NOT NULL,
  head          INTEGER NOT NULL,
  shared        INTEGER NOT NULL, -- 1: the body stands with another record
  up_segment    INTEGER NOT NULL, -- where the latest update record stands; 0: there is none
  up_offset     INTEGER NOT NULL
);
CREATE INDEX message_queue ON message(queue);
CREATE INDEX message_state ON message(state) WHERE state > 0;
CREATE TABLE command (
  id       TEXT PRIMARY KEY,
  kind     TEXT NOT NULL,
  author   TEXT NOT NULL,
  created  INTEGER NOT NULL, -- nanoseconds since 1970
  finished INTEGER NOT NULL, -- 0: not yet
  state    TEXT NOT NULL,
  standing INTEGER NOT NULL, -- 1: the log remembers it, because something of it lasts
  payload  TEXT NOT NULL,    -- JSON, see spool.Command
  result   TEXT NOT NULL,    -- JSON, see spool.Outcome
  error    TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE figure (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
`

// indexViews are what everybody may rely on. They say what the tables mean, so that the tables can change.
var indexViews = createViews("CREATE VIEW", queueSums)

// queueSums are the sums that the owner keeps.
const queueSums = `SELECT name AS queue, domain, tenant, campaign, routing_domain, messages, held, bytes, attempts,
  oldest / 1e9 AS oldest, CASE next_due WHEN -1 THEN NULL WHEN 0 THEN oldest ELSE next_due END / 1e9 AS next_due
  FROM queue WHERE messages > 0`

// queueCounts are the same, counted: for a reader that knows messages that the owner did not count.
const queueCounts = `SELECT q.name AS queue, q.domain, q.tenant, q.campaign, q.routing_domain, count(*) AS messages,
  sum(m.state = 1) AS held, sum(m.size) AS bytes, sum(m.attempts) AS attempts, min(m.created) / 1e9 AS oldest,
  min(CASE m.state WHEN 1 THEN NULL ELSE iif(m.due, m.due, m.created) END) / 1e9 AS next_due
  FROM message m JOIN queue q ON q.num = m.queue WHERE m.state < 2 GROUP BY q.num`

func createViews(create, queues string) string {
	return create + ` messages AS SELECT ` + viewColumns + `
  FROM message m JOIN queue q ON q.num = m.queue WHERE m.state < 2;
` + create + ` trash AS SELECT ` + viewColumns + `, m.trashed_at / 1e9 AS trashed
  FROM message m JOIN queue q ON q.num = m.queue WHERE m.state = 2;
` + create + ` queues AS ` + queues + `;
` + create + ` attempts AS SELECT lower(hex(m.id)) AS id, q.name AS queue,
  m.attempts - json_array_length(m.history) + t.key + 1 AS number, json_extract(t.value, '$.at') AS time,
  json_extract(t.value, '$.response') AS response, json_extract(t.value, '$.source') AS source,
  json_extract(t.value, '$.peer') AS peer
  FROM message m JOIN queue q ON q.num = m.queue JOIN json_each(m.history) t WHERE m.history <> '' AND m.state < 2;
` + create + ` orders AS SELECT id, kind, author, created / 1e9 AS created, nullif(finished, 0) / 1e9 AS finished, state,
  standing, json_extract(payload, '$.reason') AS reason, json_extract(payload, '$.match') AS match,
  unixepoch(json_extract(payload, '$.expires')) AS expires, json_extract(result, '$.matched') AS matched,
  json_extract(result, '$.done') AS done, json_extract(result, '$.busy') AS busy, nullif(error, '') AS error
  FROM command;
`
}
