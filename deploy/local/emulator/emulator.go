// Package emulator holds what an emulator needs to be of use, for whoever starts
// one: the local target, and the tests.
package emulator

import _ "embed"

// CosmosDB is the JavaScript that starts the Cosmos DB emulator: run it with
// node -e, in the folder that holds node_modules; argument: the port.
//
//go:embed cosmosdb.js
var CosmosDB string
