// What applications do with TypeORM on sealed models, said as a transcript.
"use strict";

const { members, loans, changed, upserted, gone, ada, bob, chloe, dora, eve, many, say, said, ids, state, refused, run, connection, load } = require("./people.js");
const { DataSource, EntitySchema, Brackets, ILike, In, IsNull, Not, LessThan, Or, Equal, Any } = load("typeorm");

const id = { type: "bigint", primary: true, generated: "identity", generatedIdentity: "BY DEFAULT" };
const Member = new EntitySchema({
  name: "Member", tableName: "members",
  columns: { id, email: { type: "text", unique: true }, phone: { type: "text", nullable: true }, note: { type: "text", nullable: true }, city: { type: "text" }, visits: { type: "int" } },
  relations: { loans: { type: "one-to-many", target: "Loan", inverseSide: "member", cascade: ["insert"] } },
});
const Loan = new EntitySchema({
  name: "Loan", tableName: "loans",
  columns: { id, title: { type: "text" }, email: { type: "text", nullable: true }, remark: { type: "text", nullable: true } },
  relations: {
    member: { type: "many-to-one", target: "Member", inverseSide: "loans", joinColumn: { name: "member_id" } },
    // By the sealed column, as some schemas have it.
    named: { type: "many-to-one", target: "Member", joinColumn: { name: "email", referencedColumnName: "email" }, nullable: true, createForeignKeyConstraints: false },
  },
});
const source = new DataSource({ type: "postgres", ...connection, username: connection.user, entities: [Member, Loan], driver: load("pg"), installExtensions: false });

run(async () => {
  await source.initialize();
  const [people, lent] = [source.getRepository("Member"), source.getRepository("Loan")];
  const order = { id: "ASC" };
  const few = { visits: LessThan(100) };
  const find = async (where) => ids(await people.find({ where, order, select: { id: true } }));
  const query = () => people.createQueryBuilder("m");

  say("create", said(await people.save(people.create(members[0]))));
  say("bulk", (await people.save(members.slice(1).map((one) => people.create(one)))).map(said));
  say("bulk", (await people.insert(many)).identifiers.length, (await people.save(many.slice(0, 2).map((one, n) => people.create({ ...one, email: `more.${n}@sentinel.example` })), { chunk: 1 })).length);
  for (const { member: email, ...rest } of loans) await lent.save({ ...rest, member: await people.findOneByOrFail({ email }) });
  await people.save({ ...gone, email: "with.loans@sentinel.example", visits: 200, loans: [{ title: "Cascaded", email: null, remark: "sentinel note: with its member" }] });
  say("bulk", await people.count(), (await lent.find({ order })).map((loan) => [loan.title, loan.email, loan.remark]));

  const first = await people.findOneBy({ email: ada });
  say("key", said(await people.findOneBy({ id: first.id })), await people.findOneBy({ id: -1 }));
  say("equal", said(await people.findOneByOrFail({ email: bob })), await find({ phone: members[0].phone }), (await query().where("m.email = :email", { email: chloe }).getOne()).note);
  say("in", await find({ email: In([ada, eve, "nobody"]) }), await find({ email: In([]) }), await find({ email: Any([ada, bob]) }),
    ids(await query().where((q) => `m.email IN ${q.subQuery().select("l.email").from("Loan", "l").where("l.email IS NOT NULL").getQuery()}`).orderBy("m.id").getMany()),
    ids(await query().where("m.email IN (:...mails)", { mails: [ada, bob] }).orderBy("m.id").getMany()));
  say("null", await find({ phone: IsNull() }), await people.countBy({ note: Not(IsNull()) }));
  say("or", await find([{ email: ada }, { phone: members[1].phone }, { note: IsNull(), city: "Oslo" }]), await find({ email: Or(Equal(ada), Equal(eve)) }),
    ids(await query().where("m.visits < 100").andWhere(new Brackets((q) => q.where("m.email = :a", { a: ada }).orWhere("m.phone IS NULL"))).orderBy("m.id").getMany()));
  say("not", await find({ email: Not(ada), ...few }), await find({ email: Not(In([ada, bob])), ...few }), await find({ phone: Not(members[0].phone), ...few }));
  say("raw", await source.query("SELECT note FROM members WHERE email = $1", [bob]));

  say("join", (await query().innerJoinAndSelect("m.loans", "l").where("m.email IN (:...mails)", { mails: [ada, bob] }).orderBy("l.id").getMany()).map((one) => [one.email, one.loans.map((loan) => [loan.title, loan.remark])]));
  say("join", (await lent.createQueryBuilder("l").innerJoin("Member", "m", "m.email = l.email").select(["l.title AS title", "m.note AS note"]).orderBy("l.id").getRawMany()));
  for (const relationLoadStrategy of ["join", "query"]) {
    say("eager", (await people.find({ where: { phone: members[0].phone }, relations: { loans: true }, order: { id: "ASC", loans: { id: "ASC" } }, relationLoadStrategy })).map((one) => [one.email, one.loans.map((loan) => [loan.title, loan.remark])]));
    say("eager", (await lent.find({ relations: { member: true, named: true }, order, relationLoadStrategy })).map((loan) => [loan.title, loan.member.email, loan.named?.note ?? null]));
  }
  say("eager", ids(await lent.find({ where: { member: { email: ada } }, order })));

  say("count", await people.countBy({ email: ada }), await query().select("COUNT(DISTINCT m.phone)", "n").getRawOne());
  say("exists", await people.existsBy({ email: ada }), await people.existsBy({ email: "nobody" }), (await query().whereExists(lent.createQueryBuilder("l").where("l.email = m.email")).orderBy("m.id").getMany()).map((one) => one.email));
  say("group", await query().select("m.phone", "phone").addSelect("COUNT(*)", "n").where("m.visits < 100").groupBy("m.phone").orderBy("n", "DESC").addOrderBy("MIN(m.id)").getRawMany());
  for (const skip of [0, 2, 4]) {
    const [rows, count] = await people.findAndCount({ where: { city: Not("Many") }, order: { visits: "DESC" }, take: 2, skip });
    say("page", rows.map((row) => row.email), count);
  }
  // First the keys of the page, by DISTINCT over a subquery of everything, and then its rows.
  say("page", (await people.find({ where: few, relations: { loans: true }, order: { visits: "DESC", loans: { id: "ASC" } }, take: 2, skip: 1 })).map((one) => [one.email, one.note, one.loans.length]));

  Object.assign(first, { email: changed.email, note: changed.note });
  await people.save(first);
  await people.increment({ email: changed.email }, "visits", 1);
  say("update", said(await people.findOneBy({ id: first.id })));
  await people.update(first.id, { email: ada, phone: null });
  say("update", (await query().update().set({ phone: changed.phone }).where("email = :eve", { eve }).returning(["email", "phone"]).execute()).raw, (await people.update({ phone: "nothing" }, { note: null })).affected);
  await query().update().set({ phone: members[0].phone, note: () => "CASE WHEN email = :who THEN note ELSE NULL END" }).setParameter("who", ada).where({ id: first.id }).execute();
  say("update", (await people.find({ where: few, order })).map(said));
  await people.upsert([upserted, { ...gone, email: eve }], ["email"]);
  say("upsert", (await people.find({ where: { email: In([dora, eve]) }, order })).map(said));
  const into = () => query().insert().into("Member");
  await into().values(members[0]).orIgnore().execute();
  say("upsert", (await into().values([{ ...members[0], city: "Bath" }]).orUpdate(["phone", "city"], ["email"]).returning(["email", "city"]).execute()).raw);

  await source.transaction(async (manager) => {
    await manager.insert("Member", gone);
    say("transaction", (await manager.findOneBy("Member", { email: gone.email })).note);
    throw new Error("undone");
  }).catch((error) => say("transaction", error.message));
  say("transaction", await people.findOneBy({ email: gone.email }));
  await source.transaction(async (manager) => {
    for (const email of [ada, gone.email]) {
      await manager.transaction((inner) => inner.insert("Member", { ...gone, email })).then(
        () => say("savepoint", email, "kept"),
        (error) => say("duplicate", error.name, state(error), error.constraint),
      );
    }
    say("savepoint", (await manager.findOne("Member", { where: { email: gone.email }, lock: { mode: "pessimistic_write" } })).note);
  });
  await refused("ILike", () => find({ email: ILike("ada%") }));
  await refused("order", () => people.find({ order: { email: "ASC" } }));
  await refused("lower", () => query().where("LOWER(m.email) = :ada", { ada }).getMany());
  await people.remove(await people.findOneBy({ email: bob }));
  say("delete", (await people.delete({ email: In([gone.email, eve]) })).affected);
  say("delete", (await people.find({ where: few, order })).map((one) => one.email), (await lent.createQueryBuilder().delete().execute()).affected, (await query().delete().execute()).affected);
  await source.destroy();
});
