package promapi

import (
	"strings"

	"hotreader"
	"hotreader/catalog"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// The labels of a series; the first is its name.
const (
	metricLabel   = model.MetricNameLabel
	deviceLabel   = "device"
	propertyLabel = "property" // the property's own name, where the metric's is another
	twinLabel     = "twin"
	typeLabel     = "type"
)

// labelNames are all labels that a series may have, sorted.
var labelNames = []string{metricLabel, deviceLabel, propertyLabel, twinLabel, typeLabel}

// metricName returns the name of a property's metric. A name of letters, digits,
// underscores and colons that does not begin with a digit stays. In any other one each
// other character becomes an underscore, and a digit in front gets one before it; the
// label property then has the original, so that no two properties of a device are one
// series, whatever becomes of their names.
func metricName(property string) string {
	legal := func(i int, r rune) bool {
		return r == '_' || r == ':' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' && i > 0
	}
	clean := true
	for i, r := range property {
		clean = clean && legal(i, r)
	}
	if clean {
		return property
	}
	var b strings.Builder
	for i, r := range property {
		switch {
		case legal(i, r):
			b.WriteRune(r)
		case r >= '0' && r <= '9':
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// device is one that the caller may read.
type device struct {
	id, kind   string
	properties []catalog.Property
}

// identity is one series: a property of a device.
type identity struct {
	device   *device
	property *catalog.Property
	metric   string
	twin     string
}

// value returns the value of a label, "" if the series does not have it.
func (s *identity) value(label string) string {
	switch label {
	case metricLabel:
		return s.metric
	case deviceLabel:
		return s.device.id
	case propertyLabel:
		if s.metric != s.property.Name {
			return s.property.Name
		}
	case twinLabel:
		return s.twin
	case typeLabel:
		return s.device.kind
	}
	return ""
}

func (s *identity) labels() labels.Labels {
	var pairs []string
	for _, name := range labelNames {
		if value := s.value(name); value != "" {
			pairs = append(pairs, name, value)
		}
	}
	return labels.FromStrings(pairs...)
}

// noSeries says why a property of the catalogue is no series, or "".
func noSeries(p *catalog.Property) hotreader.Reason {
	switch {
	case p.Constant != "":
		return aConstant
	case p.Type == hotreader.ShortString || p.Type == hotreader.AnyString:
		return aText
	}
	return ""
}
