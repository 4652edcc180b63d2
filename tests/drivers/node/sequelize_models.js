// What applications do with Sequelize on sealed models, said as a transcript: with values in the statement, as it
// writes them, and with `bind`.
"use strict";

const { members, loans, changed, upserted, gone, ada, bob, chloe, dora, eve, many, say, said, ids, state, refused, run, connection, load } = require("./people.js");
const { Sequelize, DataTypes, Op, QueryTypes, col, fn, literal } = load("sequelize");
const sequelize = new Sequelize({ ...connection, username: connection.user, dialect: "postgres", dialectModule: load("pg"), logging: false, define: { timestamps: false } });

const text = (allowNull) => ({ type: DataTypes.TEXT, allowNull });
const id = { type: DataTypes.BIGINT, primaryKey: true, autoIncrement: true };
const Member = sequelize.define("member", { id, email: { ...text(false), unique: true }, phone: text(true), note: text(true), city: text(false), visits: DataTypes.INTEGER }, { tableName: "members" });
const Loan = sequelize.define("loan", { id, title: text(false), email: text(true), remark: text(true) }, { tableName: "loans" });
Member.hasMany(Loan, { foreignKey: "member_id" });
Loan.belongsTo(Member, { foreignKey: "member_id" });
// By the sealed column, as some schemas have it.
Loan.belongsTo(Member, { as: "named", foreignKey: "email", targetKey: "email", constraints: false });

const find = (where, more = {}) => Member.findAll({ where, order: ["id"], attributes: ["id"], ...more }).then(ids);
const few = { visits: { [Op.lt]: 100 } };

run(async () => {
  say("create", said(await Member.create(members[0])));
  say("bulk", (await Member.bulkCreate(members.slice(1), { returning: true })).map(said));
  await Member.bulkCreate(many);
  for (const { member: email, ...rest } of loans) await (await Member.findOne({ where: { email } })).createLoan(rest);
  say("bulk", await Member.count(), (await Loan.findAll({ order: ["id"] })).map((loan) => [loan.title, loan.email, loan.remark]));

  const first = await Member.findOne({ where: { email: ada } });
  say("key", said(await Member.findByPk(first.id)), await Member.findByPk(-1));
  say("equal", said(await Member.findOne({ where: { email: bob } })), await find({ phone: members[0].phone }), (await Member.findOne({ where: { email: { [Op.eq]: chloe } } })).note);
  say("in", await find({ email: [ada, eve, "nobody"] }), await find({ email: [] }), await find({ email: { [Op.in]: literal("(SELECT email FROM loans WHERE email IS NOT NULL)") } }), await find({ email: { [Op.any]: [ada, bob] } }));
  say("null", await find({ phone: null }), await Member.count({ where: { note: { [Op.not]: null } } }));
  say("or", await find({ [Op.or]: [{ email: ada }, { phone: members[1].phone }, { note: null, city: "Oslo" }] }), await find({ email: { [Op.or]: [ada, null] } }));
  say("not", await find({ email: { [Op.ne]: ada }, ...few }), await find({ email: { [Op.notIn]: [ada, bob] }, ...few }), await find({ [Op.not]: { phone: members[0].phone }, ...few }));
  const select = { type: QueryTypes.SELECT };
  say("raw", await sequelize.query("SELECT note FROM members WHERE email = $1", { bind: [bob], ...select }), await sequelize.query("SELECT note FROM members WHERE email IN (:mails) ORDER BY id", { replacements: { mails: [ada, bob] }, ...select }));

  say("join", (await Loan.findAll({ include: { model: Member, where: { email: [ada, bob] } }, order: ["id"] })).map((loan) => [loan.member.email, loan.title, loan.remark]));
  say("join", (await Loan.findAll({ include: { association: "named", required: true }, order: ["id"] })).map((loan) => [loan.title, loan.named.note]));
  say("eager", (await Member.findAll({ where: { phone: members[0].phone }, include: Loan, order: ["id", [Loan, "id", "ASC"]] })).map((one) => [one.email, one.loans.map((loan) => [loan.title, loan.remark])]));
  // A subquery with limit inside and the join outside.
  say("eager", (await Member.findAll({ where: few, include: Loan, order: [["visits", "DESC"]], limit: 2, offset: 1 })).map((one) => [one.email, one.loans.length]));
  say("eager", (await Member.findAll({ where: { city: "London" }, include: { model: Loan, separate: true, order: ["id"] }, order: ["id"] })).map((one) => [one.email, one.loans.map((loan) => loan.remark)]));
  say("eager", (await Loan.findAll({ include: ["named", Member], order: ["id"] })).map((loan) => [loan.title, loan.member.email, loan.named?.note ?? null]));

  say("count", await Member.count({ where: { email: ada } }), await Member.count({ distinct: true, col: "phone" }), await Member.count({ include: { model: Loan, where: { email: eve } } }));
  say("exists", (await Member.findAll({ where: literal("EXISTS (SELECT 1 FROM loans l WHERE l.email = \"member\".\"email\")"), order: ["id"] })).map((one) => one.email), (await Member.findOne({ where: { email: "nobody" } })) !== null);
  say("group", await Member.findAll({ where: few, attributes: ["phone", [fn("count", col("id")), "n"]], group: "phone", order: [[literal("n"), "DESC"], [fn("min", col("id"))]], raw: true }), (await Member.aggregate("phone", "DISTINCT", { plain: false })).length);
  for (const offset of [0, 2, 4]) {
    const { rows, count } = await Member.findAndCountAll({ where: { city: { [Op.ne]: "Many" } }, order: [["visits", "DESC"]], limit: 2, offset });
    say("page", rows.map((row) => row.email), count);
  }

  Object.assign(first, { email: changed.email, note: changed.note });
  await first.save();
  await first.increment("visits");
  say("update", said(await first.reload()));
  await first.update({ email: ada, phone: null });
  say("update", (await Member.update({ phone: changed.phone }, { where: { email: eve }, returning: ["email", "phone"] }))[1].map((one) => one.phone), await Member.update({ note: null }, { where: { phone: "nothing" } }));
  await Member.update({ phone: members[0].phone, note: literal("note") }, { where: { email: ada } });
  say("update", (await Member.findAll({ where: few, order: ["id"] })).map(said));
  const rows = await Member.bulkCreate([upserted, { ...gone, email: eve }], { updateOnDuplicate: ["phone", "note"], conflictAttributes: ["email"], returning: true });
  say("upsert", rows.map((one) => [one.email, one.phone, one.note]), (await Member.findOne({ where: { email: dora } })).note);
  say("upsert", said((await Member.upsert({ ...members[0], city: "Bath" }, { conflictFields: ["email"] }))[0]), (await Member.bulkCreate([members[1]], { ignoreDuplicates: true })).length);

  const rolledBack = await sequelize.transaction(async (transaction) => {
    await Member.create(gone, { transaction });
    say("transaction", (await Member.findOne({ where: { email: gone.email }, transaction })).note);
    throw new Error("undone");
  }).catch((error) => error.message);
  say("transaction", rolledBack, await Member.findOne({ where: { email: gone.email } }));
  await sequelize.transaction(async (transaction) => {
    for (const email of [ada, gone.email]) {
      const inner = await sequelize.transaction({ transaction });
      try {
        await Member.create({ ...gone, email }, { transaction: inner });
        await inner.commit();
        say("savepoint", email, "kept");
      } catch (error) {
        await inner.rollback();
        say("duplicate", error.name, state(error), error.parent.constraint);
      }
    }
    say("savepoint", (await Member.findOne({ where: { email: gone.email }, lock: true, transaction })).note);
  });
  await refused("iLike", () => find({ email: { [Op.iLike]: "ada%" } }));
  await refused("startsWith", () => find({ email: { [Op.startsWith]: "ada" } }));
  await refused("order", () => Member.findAll({ order: ["email"] }));
  const wanted = (email) => ({ where: { email }, defaults: { city: "Oslo" } });
  // Finds; where there is nothing it makes a function of its own around an INSERT with values in it.
  say("upsert", (await Member.findOrCreate(wanted(eve)))[1], (await Member.findCreateFind(wanted(eve)))[1]);
  await refused("findOrCreate", async () => {
    const transaction = await sequelize.transaction();
    await Member.findOrCreate({ ...wanted("new@sentinel.example"), transaction }).finally(() => transaction.rollback());
  });
  await (await Member.findOne({ where: { email: bob } })).destroy();
  say("delete", await Member.destroy({ where: { email: [gone.email, eve] } }));
  say("delete", (await Member.findAll({ where: few, order: ["id"] })).map((one) => one.email), await Loan.destroy({ where: {} }), await Member.destroy({ where: {} }));
  await sequelize.close();
});
