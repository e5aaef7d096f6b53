package cost

import "testing"

// By hand, from the figures as they stand: 1,000 GB in 10,000 objects.
func TestStoredByHand(t *testing.T) {
	stored := map[string]Stored{}
	for _, s := range Listed().Stored(10_000, 1000e9, 7) {
		stored[s.Cloud+" "+s.Name] = s
	}
	const list = 10 * 5e-6
	copies := 1000 * 0.023 * 7 / 30
	for name, want := range map[string]Stored{
		"aws STANDARD":    {Month: 23, Read: list + 0.004, Out: 90},
		"aws STANDARD_IA": {Month: 12.5, Read: list + 0.01 + 10, Out: 90},
		"aws GLACIER": {Month: 3.6, Read: list + 0.004, Out: 90, Restores: []Restore{
			{Expedited, 30 + 100 + copies, 0.0833}, {Standard, 10 + 0.5 + copies, 5}, {Bulk, copies, 12}}},
		"aws DEEP_ARCHIVE": {Month: 0.99, Read: list + 0.004, Out: 90, Restores: []Restore{{Standard, 20 + 1 + copies, 12}, {Bulk, 2.5 + 0.25 + copies, 48}}},
		"azure Cool":       {Month: 10, Read: list + 0.01 + 10, Out: 87},
		"azure Archive":    {Month: 2, Read: list + 0.004, Out: 87, Restores: []Restore{{Expedited, 100 + 50, 1}, {Standard, 20 + 5, 15}}},
		"gcp ARCHIVE":      {Month: 1000e9 / (1 << 30) * 0.0012, Read: list + 0.5 + 1000e9/(1<<30)*0.05, Out: 1000e9 / (1 << 30) * 0.12},
	} {
		got := stored[name]
		same := near(got.Month, want.Month) && near(got.Read, want.Read) && near(got.Out, want.Out) && len(got.Restores) == len(want.Restores)
		for i := range got.Restores {
			r, w := got.Restores[i], want.Restores[min(i, len(want.Restores)-1)]
			same = same && r.Tier == w.Tier && near(r.USD, w.USD) && r.Hours == w.Hours
		}
		if !same {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
