package dns

import (
	"fmt"
	"time"

	"github.com/miekg/dns"

	"kumo/pkg/option"
)

// maxServers is how many servers of a resolv.conf are used, as in resolv.conf(5).
const maxServers = 3

// System makes a resolver of a resolv.conf(5), "" for /etc/resolv.conf: its name servers, timeout and attempts.
// cfg.Options is not looked at. When the file cannot be read or names no server, the one on this machine is asked,
// as the C library does.
func System(path string, cfg Config) (*Resolver, error) {
	opt, err := LoadResolvConf(path)
	if err != nil {
		return nil, err
	}
	cfg.Options = opt
	return New(cfg)
}

// LoadResolvConf reads the options of System. Servers that are not addresses are an error.
func LoadResolvConf(path string) (ResolverOptions, error) {
	if path == "" {
		path = "/etc/resolv.conf"
	}
	opt := ResolverOptions{Options: defaultLookup}
	conf, err := dns.ClientConfigFromFile(path)
	if err != nil || len(conf.Servers) == 0 {
		conf = &dns.ClientConfig{Servers: []string{"127.0.0.1"}, Timeout: 5, Attempts: 2}
	}
	for _, s := range conf.Servers[:min(len(conf.Servers), maxServers)] {
		ns, err := ParseNameServer(s)
		if err != nil {
			return opt, fmt.Errorf("%s: %w", path, err)
		}
		opt.NameServers = append(opt.NameServers, ns)
	}
	opt.Search = conf.Search
	opt.Options.Timeout = option.Duration(time.Duration(max(1, conf.Timeout)) * time.Second)
	opt.Options.Attempts = max(0, conf.Attempts-1)
	return opt, nil
}
