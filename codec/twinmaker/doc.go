// Package twinmaker is the edge to AWS IoT TwinMaker: it reads the events that
// TwinMaker sends to its data connectors and writes the JSON that it expects
// back, as described in "AWS IoT TwinMaker data connectors"
// (https://docs.aws.amazon.com/iot-twinmaker/latest/guide/data-connector-interfaces.html)
// and in the API reference of EntityPropertyReference, DataValue and
// PropertyValue.
//
//	event ── Devices.DecodeHistory ──▶ Request ── Responder.AppendHistory ──▶ answer
//
// It also reads what an older peer in another cloud answers in the same shape
// ([ParseHistoryAnswer], [ParseLastEntryAnswer]).
package twinmaker
