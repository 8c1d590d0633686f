package listener

// Options are those of kumo.start_esmtp_listener.
type Options struct {
	Listen string `opt:"listen,default=127.0.0.1:2025"`
}

// Domain is what policy says about a domain at this listener (kumo.make_listener_domain).
type Domain struct {
	RelayTo bool `opt:"relay_to,default=false"`
}
