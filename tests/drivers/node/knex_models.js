// What applications do with Knex on sealed tables, said as a transcript.
"use strict";

const { members, loans, changed, upserted, gone, ada, bob, chloe, dora, eve, many, say, said, ids, state, refused, run, connection, load } = require("./people.js");
const knex = load("knex")({ client: "pg", connection, pool: { min: 0, max: 2 } });
const member = () => knex("members");
const loan = () => knex("loans");
const pluck = (query, name) => query.then((rows) => rows.map((row) => row[name]));

run(async () => {
  say("create", said((await member().insert(members[0]).returning("*"))[0]));
  say("bulk", (await member().insert(members.slice(1)).returning("*")).map(said));
  await knex.batchInsert("members", many, 25);
  for (const { member: email, ...rest } of loans) await loan().insert({ member_id: member().select("id").where({ email }), ...rest });
  await knex.into(knex.raw("?? (??, ??, ??)", ["loans", "member_id", "title", "email"])).insert(member().select("id", knex.raw("'Copied'"), "email").where({ city: "Oslo" }));
  say("bulk", (await member().count())[0], await loan().select("title", "email", "remark").orderBy("id"));

  const first = await member().where({ email: ada }).first();
  say("key", said(await member().where("id", first.id).first()), (await member().where("id", -1).first()) ?? null);
  say("equal", said(await member().where("email", bob).first()), ids(await member().where({ phone: members[0].phone }).select("id").orderBy("id")), await member().where("email", "=", chloe).pluck("note"));
  say("in", ids(await member().whereIn("email", [ada, eve, "nobody"]).select("id").orderBy("id")), ids(await member().whereIn("email", []).select("id")),
    ids(await member().whereIn("email", loan().select("email").whereNotNull("email")).select("id").orderBy("id")),
    ids(await member().whereIn(["email", "phone"], [[ada, members[0].phone], [bob, "none"]]).select("id")));
  say("null", ids(await member().whereNull("phone").select("id").orderBy("id")), (await member().whereNotNull("note").count("id as n"))[0]);
  say("or", ids(await member().where({ email: ada }).orWhere({ phone: members[1].phone }).orWhere((q) => q.whereNull("note").andWhere("city", "Oslo")).select("id").orderBy("id")));
  say("not", ids(await member().whereNot({ email: ada }).where("visits", "<", 100).select("id").orderBy("id")), ids(await member().whereNotIn("email", [ada, bob]).where("visits", "<", 100).select("id").orderBy("id")));
  say("raw", (await knex.raw("SELECT note FROM members WHERE email = ? AND visits < ?", [bob, 50])).rows, (await knex.raw("SELECT phone FROM members WHERE email = ANY(:mails) ORDER BY id", { mails: [ada, bob] })).rows);

  say("join", await loan().join("members as m", "m.id", "loans.member_id").whereIn("m.email", [ada, bob]).select("m.email", "title", "remark").orderBy("loans.id"));
  say("join", await loan().join("members", "members.email", "loans.email").select("title", "members.note").orderBy("loans.id"));
  say("join", await member().leftJoin("loans", (on) => on.on("loans.member_id", "members.id").andOnNotNull("loans.remark")).where("city", "London").select("members.email", "remark").orderBy("members.id"));
  const known = await member().where({ phone: members[0].phone }).orderBy("id");
  const theirs = await loan().whereIn("member_id", known.map((one) => one.id)).orderBy("id");
  say("eager", known.map((one) => [one.email, theirs.filter((it) => it.member_id === one.id).map((it) => [it.title, it.remark])]));

  say("count", (await member().count("* as n"))[0], (await member().countDistinct("phone as n"))[0], (await member().where({ email: ada }).count("id as n"))[0]);
  say("exists", (await knex.select(knex.raw("exists ? as it", [member().where({ email: ada })])))[0], await pluck(member().whereExists(loan().whereRaw("loans.email = members.email")).orderBy("id"), "email"));
  say("group", await member().where("visits", "<", 100).select("phone").count("id as n").groupBy("phone").orderBy("n", "desc").orderByRaw("min(id)"), (await member().distinct("phone")).length);
  for (const offset of [0, 2, 4]) say("page", await pluck(member().whereNot({ city: "Many" }).orderBy("visits", "desc").limit(2).offset(offset), "email"));
  let streamed = 0;
  for await (const row of member().where({ city: "Many" }).select("email").stream({ batchSize: 25 })) streamed += row.email.includes("@") ? 1 : 0;
  say("page", streamed);
  say("with", await pluck(knex.with("some", member().where("visits", "<", 6)).from("some").select("email").orderBy("id"), "email"),
    (await pluck(member().select("email").where({ city: "Oslo" }).union(loan().select("email").whereNotNull("email")), "email")).sort());
  say("window", await knex.from(member().where("visits", "<", 100).whereNotNull("phone").select("email").rowNumber("n", (q) => q.partitionBy("phone").orderBy("id")).as("r")).where("n", 2));

  say("update", said((await member().where({ email: ada }).update({ email: changed.email, note: changed.note }).increment("visits").returning("*"))[0]));
  await member().where("id", first.id).update({ email: ada, phone: null });
  say("update", await member().where({ email: eve }).update({ phone: changed.phone }, ["email", "phone"]), await member().where({ phone: "nothing" }).update({ note: null }));
  await member().where({ email: bob }).update({ note: knex.raw("CASE WHEN email = ? THEN ? ELSE note END", [bob, members[1].note]), phone: knex.raw("COALESCE(?, phone)", [null]) });
  await member().updateFrom("loans").where("loans.email", knex.ref("members.email")).where("loans.title", "Emma").update({ phone: members[0].phone });
  say("update", (await member().where("visits", "<", 100).orderBy("id")).map(said));
  say("upsert", (await member().insert([upserted, { ...gone, email: eve }]).onConflict("email").merge(["phone", "note"]).returning(["email", "phone", "note"])).sort((a, b) => (a.email < b.email ? -1 : 1)));
  say("upsert", await member().insert(members[0]).onConflict().ignore().returning("id"), said((await member().insert({ ...members[0], city: "Bath" }).onConflict("email").merge().returning("*"))[0]));
  say("upsert", await pluck(member().insert({ ...gone, email: dora }).onConflict("email").merge({ phone: upserted.phone }).where("members.visits", "<", 100).returning("phone"), "phone"));

  await knex.transaction(async (trx) => {
    await trx("members").insert(gone);
    say("transaction", await trx("members").where({ email: gone.email }).pluck("note"));
    throw new Error("undone");
  }).catch((error) => say("transaction", error.message));
  say("transaction", await member().where({ email: gone.email }));
  await knex.transaction(async (trx) => {
    for (const email of [ada, gone.email]) {
      await trx.transaction((inner) => inner("members").insert({ ...gone, email })).then(
        () => say("savepoint", email, "kept"),
        (error) => say("duplicate", state(error), error.constraint),
      );
    }
    await trx.transaction(async (inner) => {
      await inner("members").where({ email: gone.email }).update({ note: "sentinel note: undone" });
      throw new Error("undone");
    }).catch(() => {});
    say("savepoint", await trx("members").where({ email: gone.email }).forUpdate().pluck("note"));
  });
  await refused("whereILike", () => member().whereILike("email", "ada%"));
  await refused("orderBy", () => member().orderBy("email"));
  await refused("min", () => member().min("email"));
  say("delete", await member().where({ email: bob }).del(), (await member().whereIn("email", [gone.email, eve]).del("email")).map((row) => row.email).sort());
  say("delete", await member().where("visits", "<", 100).orderBy("id").pluck("email"), await loan().del(), await member().del());
  await knex.destroy();
});
