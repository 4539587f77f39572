package expression

import (
	"fmt"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

func TestEvaluationDoesNotAllocate(t *testing.T) {
	e, s := testEnv(t), testScope()
	for src, kind := range map[string]Kind{
		"attempts >= 6 and distinct_amounts <= 3 and amount.base < 20":                 Bool,
		"customer.country in ['GB', 'FR'] or merchant.id in list.merchants":            Bool,
		"has(custom.tier) and custom.tier == 'gold' and not (absent > 1 or ip.is_vpn)": Bool,
		"attempts / zero > 1": Bool,
		"customer.email matches '^[a-z]+@' or text_distance(customer.id, 'u2') > 3":     Bool,
		"min(attempts, 3) + km(ip.lat, ip.lon, 1, 2) * len(order.items) + time.weekday": Number,
		"attempts > 1 ? customer.id : 'x'":                                              Text,
	} {
		p := mustCompile(t, e, src, kind)
		if n := testing.AllocsPerRun(100, func() { p.Bool(s); p.Number(s); p.Text(s) }); n != 0 {
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

// hundred are rules of three terms as analysts write them: none is decided by its
// first term, so all three are read.
func hundred() []string {
	var all []string
	for i := range 100 {
		switch i % 4 {
		case 0:
			all = append(all, fmt.Sprintf("attempts >= %d and distinct_amounts <= 3 and amount.base < %d", i%7, i%9))
		case 1:
			all = append(all, fmt.Sprintf(`customer.country == "GB" and cash_24h > %d and attempts > 7`, i))
		case 2:
			all = append(all, fmt.Sprintf(`payment.method in ["card", "wallet"] and zero < %d and cash_24h < 3000`, i))
		case 3:
			all = append(all, fmt.Sprintf("zero > %d or distinct_amounts > 4 or payment.attempt == %d", i, i))
		}
	}
	return all
}

func BenchmarkRules(b *testing.B) {
	rules := hundred()
	b.Run("closures", func(b *testing.B) {
		e, s := testEnv(b), testScope()
		var programs []*Program
		for _, src := range rules {
			programs = append(programs, mustCompile(b, e, src, Bool))
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, p := range programs {
				if _, fault := p.Bool(s); fault != (Fault{}) {
					b.Fatal(fault)
				}
			}
		}
	})
	b.Run("vm", func(b *testing.B) {
		env := map[string]any{
			"attempts": 6.0, "distinct_amounts": 1.0, "cash_24h": 12000.5, "zero": 0.0, "amount": map[string]any{"base": 15.99},
			"customer": map[string]any{"country": "GB"}, "payment": map[string]any{"method": "card", "attempt": 2.0},
		}
		var programs []*vm.Program
		for _, src := range rules {
			p, err := expr.Compile(src, expr.Env(env), expr.AsBool())
			if err != nil {
				b.Fatal(err)
			}
			programs = append(programs, p)
		}
		b.ReportAllocs()
		var machine vm.VM
		for b.Loop() {
			for _, p := range programs {
				if _, err := machine.Run(p, env); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	e, rules := testEnv(b), hundred()
	b.ReportAllocs()
	for b.Loop() {
		for _, src := range rules {
			if _, l := e.Compile(diag.Inline("bench", src), Bool, CompileOptions{}); l.Err() != nil {
				b.Fatal(l)
			}
		}
	}
}

func BenchmarkBecause(b *testing.B) {
	e, s := testEnv(b), testScope()
	p := mustCompile(b, e, "attempts >= 6 and distinct_amounts <= 3 and amount.base < 20", Bool)
	b.ReportAllocs()
	for b.Loop() {
		if because := p.Because(s); len(because) != 3 || because[0].Value.Kind != risk.Decimal {
			b.Fatal(because)
		}
	}
}
