package config

import "testing"

// TestDevicesOfEveryFunction: each cloud's function reads the list, and does not
// start with one that is broken.
func TestDevicesOfEveryFunction(t *testing.T) {
	lambdas := []string{"hot-reader", "hot-reader-last-entry", "hot-reader-api"}
	check := func(name string, load func(func(string) string) (*Function, error), env map[string]string) {
		t.Run(name, func(t *testing.T) {
			f, err := of(load, with(env, "HOTREADER_DEVICES", "pump-7, valve-*"))
			if err != nil || !f.Devices.Has("valve-1") || f.Devices.Has("pump-8") {
				t.Errorf("%+v, %v", f, err)
			}
			if f, err = of(load, env); err != nil || len(f.Devices) != 0 {
				t.Errorf("%+v, %v", f, err)
			}
			refuses(t, load, with(env, "HOTREADER_DEVICES", "pump-7,"), "HOTREADER_DEVICES: entry 2 is empty")
		})
	}
	for _, handler := range lambdas {
		check(handler, Lambda, with(local(), "_HANDLER", handler, "INTER_CLOUD_TOKEN", token))
	}
	for _, s := range servers {
		check(s.name, s.load, s.env())
	}
}
