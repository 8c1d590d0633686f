package queue

// Config is kumo.make_queue_config.
type Config struct {
	EgressPool string `opt:"egress_pool,default=unspecified"`
}
