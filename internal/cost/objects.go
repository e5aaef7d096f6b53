package cost

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// A Class is a storage class of objects.
type Class struct {
	Cloud   string   `json:"cloud"`
	Name    string   `json:"class"` // as the cloud's lists have it
	figures string   // how the names of its figures begin
	Tiers   []string `json:"-"` // by which its objects are restored; none = they can be read as they are
}

// The tiers of a restore, as S3 calls them. Azure's priority High is Expedited.
const (
	Expedited = "expedited"
	Standard  = "standard"
	Bulk      = "bulk"
)

// Tiers lists them.
func Tiers() []string { return []string{Expedited, Standard, Bulk} }

// Days is how long a copy is kept unless a restore says otherwise.
const Days = 7

// Classes are those of the three clouds.
func Classes() []Class {
	return []Class{
		{AWS, "STANDARD", "s3", nil}, {AWS, "STANDARD_IA", "s3_ia", nil}, {AWS, "GLACIER_IR", "s3_instant", nil},
		{AWS, "GLACIER", "s3_glacier", Tiers()}, {AWS, "DEEP_ARCHIVE", "s3_deep", []string{Standard, Bulk}},
		{Azure, "Hot", "blob", nil}, {Azure, "Cool", "blob_cool", nil}, {Azure, "Cold", "blob_cold", nil},
		{Azure, "Archive", "blob_archive", []string{Expedited, Standard}},
		{GCP, "STANDARD", "gcs", nil}, {GCP, "NEARLINE", "gcs_nearline", nil}, {GCP, "COLDLINE", "gcs_coldline", nil}, {GCP, "ARCHIVE", "gcs_archive", nil},
	}
}

// Archived returns the class of that name whose objects must be restored.
func Archived(name string) Class {
	all := Classes()
	i := slices.IndexFunc(all, func(c Class) bool { return c.Name == name && c.Tiers != nil })
	if i < 0 {
		return Class{Name: name}
	}
	return all[i]
}

// A Restore is what the restore of some objects costs, and how long it takes.
type Restore struct {
	Tier  string  `json:"tier"`
	USD   float64 `json:"usd"`
	Hours float64 `json:"hours"` // until all can be read, as a rule
}

// Wait writes how long it takes.
func (r Restore) Wait() string {
	if r.Hours < 1 {
		return fmt.Sprintf("%.0f min", r.Hours*60)
	}
	return fmt.Sprintf("%.0f h", r.Hours)
}

// Duration is how long it takes.
func (r Restore) Duration() time.Duration { return time.Duration(r.Hours * float64(time.Hour)) }

// Restore returns what it costs to restore objects of a class. The copies that S3 makes
// are kept for some days; what Azure restores stays where it is read.
func (f Figures) Restore(c Class, tier string, objects, bytes int64, days int) Restore {
	name := c.figures + "_" + tier
	r := Restore{tier, float64(objects)/million*f[name+"_million"].Value + c.gigabytes(bytes)*f[name+"_gb"].Value, f[name+"_hours"].Value}
	if c.Cloud == AWS {
		r.USD += c.gigabytes(bytes) * f["s3_month_gb"].Value * float64(days) / 30
	}
	return r
}

// Stored is what objects of a class cost, in US dollars.
type Stored struct {
	Class
	Month    float64   `json:"month_usd"`          // to keep them
	Read     float64   `json:"read_usd"`           // to list and read all of them once: requests, and bytes
	Out      float64   `json:"out_usd"`            // to send all bytes out of the cloud
	Restores []Restore `json:"restores,omitempty"` // before that, by each tier; none = needless
}

// Stored returns what objects cost in each class.
func (f Figures) Stored(objects, bytes int64, days int) (all []Stored) {
	for _, c := range Classes() {
		base := map[string]string{AWS: "s3", Azure: "blob", GCP: "gcs"}[c.Cloud]
		read := c.figures
		if c.Tiers != nil { // what was restored is read like that
			read = base
		}
		gb := c.gigabytes(bytes)
		s := Stored{Class: c, Month: gb * f[c.figures+"_month_gb"].Value, Out: gb * f[c.Cloud+"_egress_gb"].Value}
		s.Read = math.Ceil(float64(objects)/1000)/million*f[base+"_list_million"].Value +
			float64(objects)/million*f[read+"_get_million"].Value + gb*f[read+"_read_gb"].Value
		for _, tier := range c.Tiers {
			s.Restores = append(s.Restores, f.Restore(c, tier, objects, bytes, days))
		}
		all = append(all, s)
	}
	return all
}

// gigabytes are those that the class's cloud bills.
func (c Class) gigabytes(bytes int64) float64 {
	if c.Cloud == GCP {
		return float64(bytes) / (1 << 30)
	}
	return float64(bytes) / 1e9
}
