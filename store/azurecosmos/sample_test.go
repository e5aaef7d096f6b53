//go:build engines

package azurecosmos_test

import (
	"fmt"
	"testing"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/azurecosmos"
	"hotreader/test/laidout"
)

// What is found in containers that nobody told us about leads to their latest values.
func TestInspected(t *testing.T) {
	for _, s := range laidout.Shapes {
		s = s.Renamed("iothub-connection-device-id", "iothubConnectionDeviceId") // the emulator cannot be asked by a path with a dash
		t.Run(s.Name, func(t *testing.T) {
			o := options(layout.Layout{DeviceKey: s.Partition})
			open(t, o)
			for i, fields := range s.Fields() {
				partition, _ := layout.Item{Fields: fields}.At(layout.ParsePath(s.Partition))
				if fields["id"] == nil {
					fields["id"] = fmt.Sprint(i)
				}
				put(t, o, partition, fields)
			}
			with := func(l layout.Layout) hotreader.Source {
				of := o
				of.Layout = l
				return azurecosmos.New(client(t), of)
			}
			s.Check(t, with(layout.Layout{}).(*azurecosmos.Store), with)
		})
	}
}
