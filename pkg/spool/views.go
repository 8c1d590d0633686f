package spool

// Column is a column of a view of index.db.
type Column struct {
	Name string
	Doc  string
}

// View is a view of index.db: part of the contract with those who read it.
type View struct {
	Name    string
	Doc     string
	Columns []Column
	Example string // a query
	Answers string // what the example finds out
}

// MessageColumns are the names of the columns of the view messages, which conditions (Match.Where) speak of.
func MessageColumns() []string {
	return []string{
		"id", "queue", "domain", "tenant", "campaign", "routing_domain", "sender", "recipients", "created", "due",
		"attempts", "size", "last_response", "state", "held_by",
	}
}
