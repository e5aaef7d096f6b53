// Package component holds the names that a component of the twin has besides its
// device's properties. The configuration keeps them free, the deployment defines
// them, and TwinMaker's codec reads and writes them.
package component

// ExternalID is the property that holds the device's id. With it, the readers
// need not ask which device an entity is.
const ExternalID = "deviceId"

// The names of a component whose type extends TwinMaker's basic alarm. AlarmKey holds
// the device's id, instead of ExternalID, and AlarmStatus is the time series that
// alarm panels ask for.
const (
	AlarmType   = "com.amazon.iottwinmaker.alarm.basic"
	AlarmKey    = "alarm_key"
	AlarmStatus = "alarm_status"
)

// LatestSuffix marks a property that is no time series as the latest value of
// the time series of the same name without it: temperature_latest of temperature.
// TwinMaker reads time series by their history only, so a component type has
// both. A property's configuration (twinmaker.StoredAs) goes before.
const LatestSuffix = "_latest"

// AlarmStates are the values that AlarmStatus may have.
var AlarmStates = []string{"NORMAL", "ACTIVE", "ACKNOWLEDGED", "SNOOZE_DISABLED"}
