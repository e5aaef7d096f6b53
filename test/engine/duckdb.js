// Runs the statements that follow the folder of DuckDB's package, and prints the rows of
// the last as JSON.
const [dir, ...statements] = process.argv.slice(1);
const { DuckDBInstance } = require(dir + "/node_modules/@duckdb/node-api");
(async () => {
  const db = await (await DuckDBInstance.create()).connect();
  await db.run("SET TimeZone = 'UTC'");
  let rows;
  for (const sql of statements) rows = (await db.runAndReadAll(sql)).getRowsJson();
  console.log(JSON.stringify(rows));
})().catch((e) => { console.error(e.message); process.exit(1); });
