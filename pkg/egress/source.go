package egress

// Source is an egress source: the place that connections come from.
type Source struct {
	Name string `opt:"name,required"`
}

// Pool is a set of sources with weights.
type Pool struct {
	Name string `opt:"name,required"`
}

// Path says how to talk to a site from a source.
type Path struct {
	MaxReady int `opt:"max_ready,default=1024"`
}

// Protocol is how messages of a queue are delivered (make_queue_config protocol).
type Protocol struct{}
