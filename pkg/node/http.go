package node

import (
	"kumo/pkg/admin"
	"kumo/pkg/option"
)

// httpSchema declares the options of HTTP listeners.
var httpSchema = option.SchemaOf[admin.ListenerOptions]()

// httpListener is one kumo.start_http_listener.
type httpListener struct {
	options admin.ListenerOptions
	at      string
}

// addHTTP checks and keeps what kumo.start_http_listener was told; policy may not know admin.
func (p *plan) addHTTP(l option.Layer) error {
	r, err := httpSchema.Resolve("start_http_listener", l)
	if err != nil {
		return err
	}
	h := httpListener{options: r.Value, at: at(r.Trace, "listen")}
	for _, s := range l {
		h.at = s.Origin.At
	}
	p.http = append(p.http, h)
	return nil
}

// httpServer makes the server of one listener.
func (n *server) httpServer(h httpListener) *admin.Server {
	return admin.New(admin.Config{
		Options: h.options, Metrics: n.registry.Handler(), Log: n.Log,
		Live: func() error {
			if closed := n.gate.Ask(); closed != nil {
				return closed
			}
			return nil
		},
	})
}
