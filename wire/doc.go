// Package wire is the protocol between two clouds on the read path: the request
// ([Envelope]), the answer as a stream of rows ([Encoder], [Decoder]), and the error
// answer ([Problem]). docs/protocol.md specifies it for other implementations.
//
// The stream is columnar, compressed, checksummed and bounded. Numbers keep their
// digits. Damage and truncation are errors, never a shorter answer. Neither writer nor reader
// allocates per row.
package wire
