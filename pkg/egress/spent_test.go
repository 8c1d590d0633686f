package egress

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kumo/pkg/dns"
	"kumo/pkg/message"
	"kumo/pkg/option"
)

// slowly answers late.
type slowly struct {
	configs
	mxOf
}

func (s slowly) LookupMX(ctx context.Context, domain string) (*dns.MX, error) {
	time.Sleep(3 * time.Second)
	return s.mxOf.LookupMX(ctx, domain)
}

func (s slowly) EgressPool(ctx context.Context, name string) (option.Resolved[Pool], error) {
	time.Sleep(time.Second)
	return s.configs.EgressPool(ctx, name)
}

func (s slowly) EgressPath(ctx context.Context, domain, source, site string) (option.Resolved[Path], error) {
	time.Sleep(2 * time.Second)
	at := func(line string) option.Setting {
		return option.Setting{Value: int64(7), Origin: option.Origin{Kind: option.KindTOML, At: "shaping.toml:" + line}}
	}
	return pathSchema.Resolve("make_egress_path", option.Layer{"connection_limit": at("1"), "max_ready": at("2")})
}

func TestPlansSayWhatTheyTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts := slowly{configs{pool: threeSources}, "mx.example.com."}
		p := NewPlanner(PlannerConfig{Configs: parts, Resolver: parts})
		var spent []message.Span
		req := Request{Queue: message.ParseQueueName("acme@example.com"), Pool: "p", Turn: new(Turn), Spent: &spent}
		plan, err := p.Plan(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		want := []message.Span{
			{Cause: message.SpentPolicy, At: "get_egress_pool", For: time.Second},
			{Cause: message.SpentDNS, At: "example.com", For: 3 * time.Second},
			{Cause: message.SpentPolicy, At: "get_egress_path_config", For: 2 * time.Second},
		}
		if fmt.Sprint(spent) != fmt.Sprint(want) {
			t.Errorf("the plan took %v, want %v", spent, want)
		}
		if o := plan.Origins; o != (Origins{ConnectionLimit: "shaping.toml:1", MaxReady: "shaping.toml:2"}) {
			t.Errorf("its limits come from %+v", o)
		}
		spent = nil
		for range 6 { // the other sources of the pool have paths of their own
			if _, err := p.Plan(t.Context(), req); err != nil {
				t.Fatal(err)
			}
		}
		spent = nil
		if _, err := p.Plan(t.Context(), req); err != nil || spent != nil {
			t.Errorf("a plan that is known took %v, %v", spent, err)
		}
	})
}
