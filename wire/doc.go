// Package wire is what two clouds say to each other on the read path: the
// request ([Envelope]), the answer as a stream of rows ([Encoder], [Decoder]),
// and the refusal ([Problem]). docs/protocol.md describes the same for those
// who write another implementation.
//
// The stream is columnar, compressed, checked and bounded: numbers cross as the
// digits they are, damage and truncation are errors and never a shorter answer,
// and neither side allocates per row.
package wire
