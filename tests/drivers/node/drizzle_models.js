// What applications do with Drizzle on sealed models, said as a transcript.
"use strict";

const { members, loans, changed, upserted, gone, ada, bob, chloe, dora, eve, many, say, said, ids, state, refused, run, connection, load } = require("./people.js");
const { Pool } = load("pg");
const { drizzle } = load("drizzle-orm/node-postgres");
const { relations, sql, and, asc, count, countDistinct, desc, eq, exists, ilike, inArray, isNotNull, isNull, lt, ne, not, notInArray, or } = load("drizzle-orm");
const { alias, bigint, integer, pgTable, text, union } = load("drizzle-orm/pg-core");

const id = () => bigint({ mode: "number" }).primaryKey().generatedByDefaultAsIdentity();
const member = pgTable("members", { id: id(), email: text().notNull().unique(), phone: text(), note: text(), city: text().notNull(), visits: integer().notNull().default(0) });
const loan = pgTable("loans", { id: id(), memberId: bigint("member_id", { mode: "number" }).notNull().references(() => member.id), title: text().notNull(), email: text(), remark: text() });
const memberRelations = relations(member, ({ many: has }) => ({ loans: has(loan, { relationName: "lent" }) }));
const loanRelations = relations(loan, ({ one }) => ({ member: one(member, { relationName: "lent", fields: [loan.memberId], references: [member.id] }) }));
const pool = new Pool({ ...connection, max: 2 });
const db = drizzle(pool, { schema: { member, loan, memberRelations, loanRelations } });

const few = lt(member.visits, 100);
const find = (where) => db.select({ id: member.id }).from(member).where(where).orderBy(member.id).then(ids);
const the = (email) => db.select().from(member).where(eq(member.email, email));

run(async () => {
  say("create", (await db.insert(member).values(members[0]).returning()).map(said));
  say("bulk", (await db.insert(member).values(members.slice(1)).returning()).map(said), (await db.insert(member).values(many)).rowCount);
  for (const { member: email, ...rest } of loans) await db.insert(loan).values({ ...rest, memberId: (await the(email))[0].id });
  await db.insert(loan).select(db.select({ id: sql`${1000}::bigint`.as("id"), memberId: member.id, title: sql`'Copied'`.as("title"), email: member.email, remark: sql`NULL::text`.as("remark") }).from(member).where(eq(member.city, "Oslo")));
  say("bulk", await db.select({ title: loan.title, email: loan.email, remark: loan.remark }).from(loan).orderBy(loan.id));

  const first = (await the(ada))[0];
  say("key", (await db.select().from(member).where(eq(member.id, first.id))).map(said), await find(eq(member.id, -1)));
  say("equal", (await the(bob)).map(said), await find(eq(member.phone, members[0].phone)), (await db.query.member.findFirst({ where: eq(member.email, chloe) })).note);
  const named = db.select().from(member).where(eq(member.email, sql.placeholder("mail"))).prepare("by_mail");
  for (const mail of [ada, "nobody", eve]) say("equal", (await named.execute({ mail })).map(said));
  say("in", await find(inArray(member.email, [ada, eve, "nobody"])), await find(inArray(member.email, [])), await find(inArray(member.email, db.select({ email: loan.email }).from(loan))));
  say("null", await find(isNull(member.phone)), await db.$count(member, isNotNull(member.note)));
  say("or", await find(or(eq(member.email, ada), eq(member.phone, members[1].phone), and(isNull(member.note), eq(member.city, "Oslo")))));
  say("not", await find(and(ne(member.email, ada), few)), await find(and(notInArray(member.email, [ada, bob]), few)), await find(and(not(eq(member.phone, members[0].phone)), few)));
  say("raw", (await db.execute(sql`SELECT note FROM ${member} WHERE ${member.email} = ${bob}`)).rows, (await db.execute(sql`SELECT phone FROM members WHERE email = ANY(${sql.param([ada, bob])}) ORDER BY id`)).rows);

  say("join", await db.select({ email: member.email, title: loan.title, remark: loan.remark }).from(loan).innerJoin(member, eq(member.id, loan.memberId)).where(inArray(member.email, [ada, bob])).orderBy(loan.id));
  const other = alias(member, "other");
  say("join", await db.select({ title: loan.title, note: other.note }).from(loan).innerJoin(other, eq(other.email, loan.email)).orderBy(loan.id));
  say("join", (await db.select().from(member).leftJoin(loan, eq(loan.memberId, member.id)).where(eq(member.city, "London")).orderBy(member.id, loan.id)).map((row) => [row.members.email, row.loans?.remark]));
  const lent = db.select({ memberId: loan.memberId, n: count().as("n") }).from(loan).groupBy(loan.memberId).as("lent");
  say("join", await db.select({ email: member.email, n: lent.n }).from(member).innerJoin(lent, eq(lent.memberId, member.id)).orderBy(member.id));
  const known = await db.select().from(member).where(eq(member.phone, members[0].phone)).orderBy(member.id);
  const theirs = await db.select().from(loan).where(inArray(loan.memberId, known.map((one) => one.id))).orderBy(loan.id);
  say("eager", known.map((one) => [one.email, theirs.filter((it) => it.memberId === one.id).map((it) => [it.title, it.remark])]));

  say("count", await db.$count(member, eq(member.email, ada)), await db.select({ n: count(), m: countDistinct(member.phone) }).from(member));
  say("exists", await find(exists(db.select({ one: sql`1` }).from(loan).where(eq(loan.email, member.email)))), (await the("nobody")).length);
  say("group", await db.select({ phone: member.phone, n: count() }).from(member).where(few).groupBy(member.phone).orderBy(desc(count()), sql`min(${member.id})`), (await db.selectDistinct({ phone: member.phone }).from(member)).length);
  for (const offset of [0, 2, 4]) say("page", (await db.query.member.findMany({ where: ne(member.city, "Many"), orderBy: desc(member.visits), limit: 2, offset })).map(said));
  const some = db.$with("some").as(db.select().from(member).where(lt(member.visits, 6)));
  say("with", (await db.with(some).select().from(some).orderBy(some.id)).map(said));
  const both = await union(db.select({ email: member.email }).from(member).where(eq(member.city, "Oslo")), db.select({ email: loan.email }).from(loan).where(isNotNull(loan.email)));
  say("union", both.map((row) => row.email).sort());

  say("update", (await db.update(member).set({ email: changed.email, note: changed.note, visits: sql`${member.visits} + 1` }).where(eq(member.email, ada)).returning()).map(said));
  await db.update(member).set({ email: ada, phone: null }).where(eq(member.id, first.id));
  say("update", await db.update(member).set({ phone: changed.phone }).where(eq(member.email, eve)).returning({ email: member.email, phone: member.phone }), (await db.update(member).set({ note: null }).where(eq(member.phone, "nothing"))).rowCount);
  await db.update(member).set({ phone: members[0].phone, note: sql`CASE WHEN ${member.email} = ${ada} THEN ${member.note} ELSE NULL END` }).where(eq(member.id, first.id));
  await db.update(loan).set({ email: member.email }).from(member).where(and(eq(member.id, loan.memberId), eq(member.email, bob)));
  say("update", (await db.select().from(member).where(few).orderBy(member.id)).map(said), await db.select({ email: loan.email }).from(loan).where(eq(loan.title, "Dracula")));
  const rows = await db.insert(member).values([upserted, { ...gone, email: eve }]).onConflictDoUpdate({ target: member.email, set: { phone: sql`excluded.phone`, note: sql`excluded.note` } }).returning();
  say("upsert", rows.map(said).sort((a, b) => a[0] - b[0]), await db.insert(member).values(members[0]).onConflictDoNothing().returning());
  say("upsert", (await db.insert(member).values(gone).onConflictDoUpdate({ target: member.email, set: { phone: gone.phone }, setWhere: eq(member.email, "nobody") }).returning()).length, (await db.delete(member).where(eq(member.email, gone.email))).rowCount);

  await db.transaction(async (tx) => {
    await tx.insert(member).values(gone);
    say("transaction", (await tx.select().from(member).where(eq(member.email, gone.email))).map((one) => one.note));
    tx.rollback();
  }).catch((error) => say("transaction", error.message));
  say("transaction", await the(gone.email));
  await db.transaction(async (tx) => {
    for (const email of [ada, gone.email]) {
      await tx.transaction((inner) => inner.insert(member).values({ ...gone, email })).then(
        () => say("savepoint", email, "kept"),
        (error) => say("duplicate", state(error), error.cause.constraint),
      );
    }
    say("savepoint", (await tx.select().from(member).where(eq(member.email, gone.email)).for("update")).map((one) => one.note));
  });
  await refused("ilike", () => find(ilike(member.email, "ada%")));
  await refused("orderBy", () => db.select().from(member).orderBy(asc(member.email)));
  // Its rows of related tables are JSON that the server builds.
  await refused("query with", () => db.query.member.findMany({ with: { loans: true } }));
  // `note` is sealed at random, and the key beside it.
  say("distinct", (await db.selectDistinct().from(member).innerJoin(loan, eq(loan.memberId, member.id))).map((row) => [said(row.members), row.loans.title]).sort());
  say("delete", (await db.delete(member).where(eq(member.email, bob)).returning({ email: member.email })), (await db.delete(member).where(inArray(member.email, [gone.email, eve]))).rowCount);
  say("delete", (await db.select().from(member).where(few).orderBy(member.id)).map((one) => one.email), (await db.delete(loan)).rowCount, (await db.delete(member)).rowCount);
  await pool.end();
});
