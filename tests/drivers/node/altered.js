// What Sequelize's `sync({ alter: true })` does to tables that it has made itself. With `advised` as an argument it alters them once more.
"use strict";

const { connection, load, run, say } = require("./people.js");

async function sequelize() {
  const { Sequelize, DataTypes } = load("sequelize");
  const altered = [];
  const logging = (sql) => { if (/ALTER TABLE|DROP|CREATE/.test(sql)) altered.push(sql.replace(/^Executing \([^)]*\): /, "")); };
  const sequelize = new Sequelize({ ...connection, username: connection.user, dialect: "postgres", dialectModule: load("pg"), logging: false });
  const { STRING, DATEONLY, INTEGER, BOOLEAN, DECIMAL, TEXT, BIGINT } = DataTypes;
  const Person = sequelize.define("person", {
    id: { type: BIGINT, primaryKey: true, autoIncrement: true },
    email: { type: STRING(254), allowNull: false },
    born: { type: DATEONLY },
    level: { type: INTEGER, allowNull: false, defaultValue: 3 },
    active: { type: BOOLEAN, allowNull: false, defaultValue: false },
    salary: { type: DECIMAL(10, 2) },
    note: TEXT,
    city: { type: STRING(50), defaultValue: "none" },
  }, { tableName: "people", timestamps: false });
  if (process.argv[2] !== "advised") {
    await sequelize.sync();
    await Person.create({ email: "ada@sentinel.example", born: "1815-12-10", salary: "12.50", note: "sentinel" });
  }
  await sequelize.sync({ alter: true, logging });
  const found = await Person.findAll({ raw: true, where: { email: "ada@sentinel.example", born: "1815-12-10" } });
  await sequelize.close();
  return { altered: altered.sort(), found };
}

run(async () => say("sequelize", await sequelize()));
