// What Sequelize, TypeORM and Knex write to make tables, of columns of many types with defaults. Which of them: the first argument.
"use strict";

const { connection, load, run, say } = require("./people.js");

const rows = "SELECT phone, born, level, active, salary, city, nick, place FROM people";
const insert = "INSERT INTO people (email, note) VALUES ('ada@sentinel.example', 'sentinel note')";

async function sequelize() {
  const { Sequelize, DataTypes, literal } = load("sequelize");
  const sequelize = new Sequelize({ ...connection, username: connection.user, dialect: "postgres", dialectModule: load("pg"), logging: false });
  const { STRING, DATEONLY, INTEGER, BOOLEAN, DECIMAL, TEXT, DATE, BIGINT } = DataTypes;
  sequelize.define("person", {
    id: { type: BIGINT, primaryKey: true, autoIncrement: true },
    email: { type: STRING(254), allowNull: false, unique: true },
    phone: { type: STRING(20), allowNull: false, defaultValue: "" },
    born: { type: DATEONLY, defaultValue: "2000-01-01" },
    level: { type: INTEGER, allowNull: false, defaultValue: 3 },
    active: { type: BOOLEAN, allowNull: false, defaultValue: false },
    salary: { type: DECIMAL(10, 2), allowNull: false, defaultValue: 0 },
    note: TEXT,
    city: { type: STRING(50), defaultValue: "none" },
    created: { type: DATE, defaultValue: literal("now()") },
  }, { tableName: "people", timestamps: false, indexes: [{ fields: ["phone", "city"] }, { fields: ["born"], where: { level: 3 } }] });
  sequelize.define("guest", {
    email: { type: STRING(254), references: { model: "people", key: "email" }, onDelete: "CASCADE" },
  }, { tableName: "guests", timestamps: false });
  await sequelize.sync();
  const queries = sequelize.getQueryInterface();
  await queries.addColumn("people", "nick", { type: STRING(40), defaultValue: "x", allowNull: false });
  await queries.addColumn("people", "place", { type: STRING(20) });
  await queries.changeColumn("people", "place", { type: STRING(20), defaultValue: "somewhere", allowNull: true });
  await queries.addIndex("people", ["level"], { name: "people_level" });
  await queries.addConstraint("people", { type: "check", fields: ["level"], name: "level_known", where: { level: [1, 2, 3] } });
  await sequelize.query(insert);
  const [found] = await sequelize.query(rows);
  await sequelize.close();
  return found;
}

async function typeorm() {
  const { DataSource, EntitySchema, TableColumn, TableIndex } = load("typeorm");
  const person = new EntitySchema({
    name: "person", tableName: "people",
    columns: {
      id: { type: "bigint", primary: true, generated: "identity" },
      email: { type: "varchar", length: 254, unique: true },
      phone: { type: "varchar", length: 20, default: "" },
      born: { type: "date", nullable: true, default: "2000-01-01" },
      level: { type: "integer", default: 3 },
      active: { type: "boolean", default: false },
      salary: { type: "numeric", precision: 10, scale: 2, default: 0 },
      note: { type: "text", nullable: true },
      city: { type: "varchar", length: 50, default: "none" },
      created: { type: "timestamptz", default: () => "now()" },
    },
    indices: [{ name: "people_phone_city", columns: ["phone", "city"] }],
    checks: [{ name: "level_known", expression: "level IN (1, 2, 3)" }],
  });
  const guest = new EntitySchema({
    name: "guest", tableName: "guests",
    columns: { id: { type: "uuid", primary: true, generated: "uuid" }, email: { type: "varchar", length: 254, nullable: true } },
    relations: { named: { type: "many-to-one", target: "person", joinColumn: { name: "email", referencedColumnName: "email" }, onDelete: "CASCADE" } },
  });
  const source = new DataSource({ type: "postgres", ...connection, username: connection.user, entities: [person, guest], installExtensions: false, uuidExtension: "pgcrypto" });
  await source.initialize();
  await source.synchronize();
  const runner = source.createQueryRunner();
  await runner.startTransaction();
  await runner.addColumn("people", new TableColumn({ name: "nick", type: "varchar", length: "40", default: "'x'" }));
  await runner.addColumn("people", new TableColumn({ name: "place", type: "varchar", length: "20", isNullable: true, default: "'somewhere'" }));
  await runner.createIndex("people", new TableIndex({ name: "people_level", columnNames: ["level"] }));
  await runner.query(insert);
  await runner.commitTransaction();
  const found = await runner.query(rows);
  await runner.release();
  await source.destroy();
  return found;
}

async function knex() {
  const knex = load("knex")({ client: "pg", connection });
  await knex.schema.createTable("people", (table) => {
    table.bigIncrements("id");
    table.string("email", 254).notNullable().unique().comment("as it was given");
    table.string("phone", 20).notNullable().defaultTo("").index();
    table.date("born").defaultTo("2000-01-01");
    table.integer("level").notNullable().defaultTo(3);
    table.boolean("active").notNullable().defaultTo(false);
    table.decimal("salary", 10, 2).notNullable().defaultTo(0);
    table.text("note");
    table.string("city", 50).defaultTo("none");
    table.timestamp("created").defaultTo(knex.fn.now());
    table.comment("people and what is known of them");
  });
  await knex.schema.createTable("guests", (table) => {
    table.increments("id");
    table.string("email", 254).references("email").inTable("people").onDelete("CASCADE");
  });
  await knex.transaction(async (trx) => {
    await trx.schema.alterTable("people", (table) => {
      table.string("nick", 40).notNullable().defaultTo("x");
      table.string("place", 20);
      table.index(["level"], "people_level");
      table.check("level IN (1, 2, 3)", [], "level_known");
    });
    await trx.schema.alterTable("people", (table) => {
      table.string("place", 20).defaultTo("somewhere").alter();
      table.dropNullable("city");
      table.setNullable("nick");
    });
    await trx.raw(insert);
  });
  const found = (await knex.raw(rows)).rows;
  await knex.destroy();
  return found;
}

run(async () => say("people", await { sequelize, typeorm, knex }[process.argv[2]]()));
