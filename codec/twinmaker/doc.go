// Package twinmaker serves AWS IoT TwinMaker: it reads the events that TwinMaker sends
// to its data connectors and writes the JSON that it expects, as described in "AWS IoT
// TwinMaker data connectors"
// (https://docs.aws.amazon.com/iot-twinmaker/latest/guide/data-connector-interfaces.html)
// and in the API reference of EntityPropertyReference, DataValue and
// PropertyValue.
//
//	event ── Devices.DecodeHistory ──▶ Request ── Responder.AppendHistory ──▶ answer
//
// It also reads answers in the same format from an older peer in another cloud
// ([ParseHistoryAnswer], [ParseLastEntryAnswer]).
package twinmaker
