// What TypeORM would change in a database that it has made itself. An argument says whether what the documentation of sealed
// columns advises is done.
"use strict";

const { connection, load, run, say } = require("./people.js");
const advised = process.argv[2] === "advised";

async function typeorm() {
  const { DataSource, EntitySchema } = load("typeorm");
  const person = new EntitySchema({
    name: "person", tableName: "people",
    columns: {
      id: { type: "bigint", primary: true, generated: "identity" },
      email: { type: advised ? "text" : "varchar", ...(advised ? {} : { length: 254 }), unique: true },
      born: { type: advised ? "text" : "date", nullable: true },
      note: { type: "text", nullable: true },
      city: { type: "varchar", length: 50, default: "none" },
    },
  });
  const source = new DataSource({ type: "postgres", ...connection, username: connection.user, entities: [person], installExtensions: false });
  await source.initialize();
  if (!advised) await source.synchronize();
  const { upQueries } = await source.driver.createSchemaBuilder().log();
  await source.destroy();
  return upQueries.map(({ query }) => query);
}

run(async () => say("typeorm", await typeorm()));
