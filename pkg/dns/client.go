package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// New makes a resolver that asks the servers of cfg.Options. It is an error to have none.
func New(cfg Config) (*Resolver, error) {
	c, err := newClient(cfg.Options)
	if err != nil {
		return nil, err
	}
	return newResolver(cfg, c), nil
}

// client asks name servers.
//
//  1. A round asks every server once, num_concurrent_reqs of them at a time, best first; the first good answer wins.
//  2. After a round without one there is another, attempts times.
//  3. The time that ctx leaves is shared among the steps, none getting more than the timeout option, so that a dead
//     server never eats the time of those behind it.
type client struct {
	opt     LookupOptions
	servers []*server
	turn    atomic.Uint32 // RoundRobin
}

// server is a name server with what is known of it.
type server struct {
	NameServer
	score atomic.Int64 // smoothed nanoseconds per answer; failures count as their timeout
}

var errNoServers = errors.New("name_servers is empty: name at least one server")

func newClient(opt ResolverOptions) (*client, error) {
	if len(opt.NameServers) == 0 {
		return nil, errNoServers
	}
	c := &client{opt: opt.Options.orDefault()}
	for _, ns := range opt.NameServers {
		c.servers = append(c.servers, &server{NameServer: ns})
	}
	return c, nil
}

// ordered is the servers in the order of server_ordering_strategy.
func (c *client) ordered() []*server {
	out := slices.Clone(c.servers)
	switch c.opt.ServerOrderingStrategy {
	case "UserProvidedOrder":
	case "RoundRobin":
		n := int(c.turn.Add(1)-1) % len(out)
		out = append(out[n:len(out):len(out)], out[:n]...)
	default:
		slices.SortStableFunc(out, func(a, b *server) int { return cmp.Compare(a.score.Load(), b.score.Load()) })
	}
	return out
}

func (c *client) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	group := max(1, c.opt.NumConcurrentReqs)
	steps := (c.opt.Attempts + 1) * ((len(c.servers) + group - 1) / group)
	var doubted *dns.Msg
	var last error
	for range c.opt.Attempts + 1 {
		for servers := range slices.Chunk(c.ordered(), group) {
			if err := ctx.Err(); err != nil {
				return nil, cmp.Or(last, err)
			}
			msg, err := c.step(ctx, servers, name, qtype, steps)
			steps--
			switch {
			case err != nil:
				last = err
			case msg.trusted:
				return msg.Msg, nil
			default:
				doubted = msg.Msg
			}
		}
		if doubted != nil {
			return doubted, nil
		}
	}
	return nil, last
}

// reply is an answer, and whether it is the last word.
type reply struct {
	*dns.Msg
	trusted bool
}

// step asks servers at once and takes the first good answer: a trusted one, else the last doubted one.
func (c *client) step(ctx context.Context, servers []*server, name string, qtype uint16, steps int) (reply, error) {
	timeout := c.opt.Timeout.Std()
	if end, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(end)/time.Duration(steps))
	}
	ctx, stop := context.WithTimeout(ctx, max(timeout, time.Millisecond))
	defer stop()
	if len(servers) == 1 {
		return c.askOne(ctx, servers[0], name, qtype)
	}
	type result struct {
		reply
		err error
	}
	ch := make(chan result, len(servers))
	for _, s := range servers {
		go func() {
			r, err := c.askOne(ctx, s, name, qtype)
			ch <- result{r, err}
		}()
	}
	var best reply
	var err error
	for range servers {
		r := <-ch
		switch {
		case r.err == nil && r.trusted:
			return r.reply, nil
		case r.err == nil:
			best = r.reply
		default:
			err = r.err
		}
	}
	if best.Msg != nil {
		return best, nil
	}
	return reply{}, err
}

// askOne asks one server and keeps its score. A server that lost the race to another is not judged.
func (c *client) askOne(ctx context.Context, s *server, name string, qtype uint16) (reply, error) {
	start := time.Now()
	msg, err := c.exchange(ctx, s, name, qtype)
	switch {
	case err == nil:
		s.note(time.Since(start))
	case !errors.Is(ctx.Err(), context.Canceled):
		s.note(max(time.Since(start), c.opt.Timeout.Std()))
		return reply{}, fmt.Errorf("server %s: %w", s.SocketAddr, err)
	default:
		return reply{}, err
	}
	negative := msg.Rcode == dns.RcodeNameError
	return reply{msg, s.TrustNegativeResponses || !negative}, nil
}

// note smooths the score: seven parts of what was known, one of what is new.
func (s *server) note(d time.Duration) {
	old := s.score.Load()
	if old == 0 {
		s.score.Store(int64(d))
		return
	}
	s.score.Store((old*7 + int64(d)) / 8)
}

// ParseNameServer reads "IP" or "IP:PORT"; the port is 53 if none is given. IPv6 addresses with a port stand in
// brackets.
func ParseNameServer(s string) (NameServer, error) {
	ns := defaultServer
	if a, err := netip.ParseAddr(s); err == nil {
		ns.SocketAddr = netip.AddrPortFrom(a, 53)
		return ns, nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return ns, fmt.Errorf("name server %q: want IP or IP:PORT", s)
	}
	ns.SocketAddr = ap
	return ns, nil
}
