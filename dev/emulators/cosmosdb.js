// Starts the emulator so that a query takes time in proportion to its items.
// As it comes it copies all items once for each item, which takes ten seconds a
// query where there are twenty thousand. What a query answers stays the same, but for
// partition keys with quoted names, which are refused as it comes.
// Run with node -e, in the folder that holds node_modules; argument: the port.
"use strict";
const query = require("./node_modules/@zeit/cosmosdb-query").default;
const helpers = require("./node_modules/@zeit/cosmosdb-query/lib/helpers");

// A query is compiled to JavaScript that gathers its rows by [...$, row].
const proto = Object.getPrototypeOf(query("SELECT * FROM c"));
const compiled = Object.getOwnPropertyDescriptor(proto, "code").get;
const gather = /\[\.\.\.\$, (\{\s*\w+: \w+\s*\})\]/g;
Object.defineProperty(proto, "code", {
  get() {
    return compiled.call(this).replace(gather, (_, row) => `($.push(${row}), $)`);
  },
});
if (!query("SELECT * FROM c").code.includes("$.push(")) {
  throw new Error("this version of the emulator compiles queries in another way");
}

const strip = helpers.stripUndefined;
helpers.stripUndefined = (v) => (Array.isArray(v) ? v.filter((e) => typeof e !== "undefined").map(helpers.stripUndefined) : strip(v));

// It takes a quoted name in a partition key's path, as /"device-id", for another one.
const unquoted = (name) => name.replace(/^"(.*)"$/, (text) => JSON.parse(text));
const contains = proto.containsPartitionKeys;
proto.containsPartitionKeys = function (paths) {
  return contains.call(this, paths.map((path) => path.split("/").map(unquoted).join("/")));
};
const values = require("./node_modules/@vercel/cosmosdb-server/lib/utils/get-value");
const valueAt = values.default;
values.default = (names, item) => valueAt(names.map(unquoted), item);

// It closes each connection as it comes, and a long import uses up the ports.
const { createHttpServer } = require("./node_modules/@vercel/cosmosdb-server");
createHttpServer({ keepAlive: true }).listen(Number(process.argv[1]), "127.0.0.1");
