// What the programs on sealed models share in JavaScript: the people that they keep, and a transcript in JSON.
"use strict";

const path = require("node:path");
const people = require("../people.json");
const modules = path.join(__dirname, "..", "..", "..", "target", "node", "node_modules");

const { members, loans, changed, upserted, gone } = people;
const [ada, bob, chloe, dora, eve] = members.map((member) => member.email);
const many = [...Array(60).keys()].map((n) => ({
  email: `many.${n}@sentinel.example`, phone: `+44 20 7946 1${String(n).padStart(3, "0")}`, note: `sentinel note: many ${n}`, city: "Many", visits: 100 + n,
}));

const say = (step, ...values) => console.log(`${step}: ${JSON.stringify(values)}`);
const columns = ["email", "phone", "note", "city", "visits"];
// A member as every program says it. Some drivers read a bigint as a text.
const said = (member) => [Number(member.id), ...columns.map((name) => member[name])];
const ids = (rows) => rows.map((row) => Number(row.id ?? row));

// The SQLSTATE of an error, however deep it is wrapped.
const state = (error) => error?.code ?? error?.original?.code ?? error?.cause?.code ?? error?.driverError?.code;

// What is answered directly and refused on sealed columns.
async function refused(what, ask) {
  try {
    await ask();
  } catch (error) {
    if (!state(error)) throw error;
    return console.log(`refused: ${what}: ${state(error)}`);
  }
  console.log(`refused: ${what}: answered`);
}

function run(main) {
  main().then(() => console.log("done")).catch((error) => {
    console.error("failed", error);
    process.exit(1);
  });
}

const connection = { host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER, database: process.env.PGDATABASE };
const load = (name) => require(require.resolve(name, { paths: [modules] }));

module.exports = { members, loans, changed, upserted, gone, ada, bob, chloe, dora, eve, many, say, said, ids, state, refused, run, connection, load };
