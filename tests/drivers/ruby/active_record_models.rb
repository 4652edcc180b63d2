# What applications do with ActiveRecord on sealed models, said as a transcript: with prepared statements, as it comes, and without.
require "active_record"
require "json"

PEOPLE = JSON.parse(File.read(File.join(__dir__, "..", "people.json")))
MEMBERS, LOANS, CHANGED, UPSERTED, GONE = PEOPLE.values_at("members", "loans", "changed", "upserted", "gone")
ADA, BOB, CHLOE, DORA, EVE = MEMBERS.map { |member| member["email"] }
MANY = (0...60).map { |n| { "email" => "many.#{n}@sentinel.example", "phone" => format("+44 20 7946 1%03d", n), "note" => "sentinel note: many #{n}", "city" => "Many", "visits" => 100 + n } }

class Member < ActiveRecord::Base
  has_many :loans, -> { order(:id) }
  validates :email, uniqueness: true, on: :asked

  def said
    [id, email, phone, note, city, visits]
  end
end

class Loan < ActiveRecord::Base
  belongs_to :member
  # By the sealed column, as some schemas have it.
  belongs_to :named, class_name: "Member", foreign_key: :email, primary_key: :email, optional: true
end

# A validation as Rails' generators once wrote it, which asks for LOWER.
class Insensitive < ActiveRecord::Base
  self.table_name = "members"
  validates :email, uniqueness: { case_sensitive: false }
end

def say(step, *values)
  puts "#{step}: #{JSON.generate(values)}"
end

def state(error)
  error.cause.respond_to?(:result) ? error.cause.result.error_field(PG::Result::PG_DIAG_SQLSTATE) : raise(error)
end

# What is answered directly and refused on sealed columns.
def refused(what)
  yield
  puts "refused: #{what}: answered"
rescue ActiveRecord::StatementInvalid => error
  puts "refused: #{what}: #{state(error)}"
end

def writes
  say "create", Member.create!(MEMBERS[0]).said
  say "bulk", Member.create!(MEMBERS.drop(1)).map(&:said)
  MANY.each_slice(25) { |part| say "bulk", Member.insert_all!(part, returning: %w[email]).rows.last }
  LOANS.each { |loan| Member.find_by!(email: loan["member"]).loans.create!(loan.except("member")) }
  say "bulk", Member.count, Loan.order(:id).pluck(:title, :email, :remark)
end

def searches
  ids = Member.order(:id)
  few = ids.where("visits < 100")
  ada = Member.find_by(email: ADA)
  say "key", Member.find(ada.id).said, Member.find_by(id: -1), Member.find([ada.id, ada.id + 1]).map(&:email)
  say "equal", Member.find_by(email: BOB).said, ids.where(phone: MEMBERS[0]["phone"]).ids, Member.where("email" => CHLOE).pick(:note), Member.find_by_email(DORA).city
  say "in", ids.where(email: [ADA, EVE, "nobody"]).ids, ids.where(email: []).ids, ids.where(email: Loan.where(title: "Ulysses").select(:email)).ids, ids.where(phone: [MEMBERS[1]["phone"], nil]).ids
  say "null", ids.where(phone: nil).ids, Member.where.not(note: nil).count
  say "or", ids.where(email: ADA).or(ids.where(phone: MEMBERS[1]["phone"])).or(ids.where(note: nil, city: "Oslo")).ids
  say "not", few.where.not(email: ADA).ids, few.where.not(email: [ADA, BOB]).ids, few.where.not(phone: MEMBERS[0]["phone"]).ids
  say "raw", Member.where("email = ? AND visits < ?", BOB, 50).pluck(:note), Member.find_by_sql(["SELECT id, note FROM members WHERE email IN (:mails) ORDER BY id", { mails: [ADA, BOB] }]).map(&:note)
  taken, free = Member.new(email: ADA), Member.new(email: "free@sentinel.example")
  say "unique", taken.valid?(:asked), taken.errors.full_messages, free.valid?(:asked), Member.find_by!(email: BOB).valid?(:asked)
end

def related
  say "join", Loan.joins(:member).where(members: { email: [ADA, BOB] }).order(:id).pluck("members.email", :title, :remark)
  say "join", Loan.joins(:named).order(:id).pluck(:title, "members.note"), Member.left_joins(:loans).where(loans: { id: nil }, city: "London").pluck(:email)
  known = Member.where(phone: MEMBERS[0]["phone"]).order(:id)
  %i[includes preload eager_load].each do |how|
    say "eager", how, known.send(how, :loans).map { |member| [member.email, member.loans.map { |loan| [loan.title, loan.remark] }] }
    say "eager", how, Loan.send(how, :member, :named).order(:id).map { |loan| [loan.title, loan.member.email, loan.named&.note] }
  end
  # DISTINCT over the keys of a page, ordered by what else is asked.
  say "eager", Member.eager_load(:loans).where("visits < 100").order(visits: :desc).limit(2).offset(1).map { |member| [member.email, member.loans.size] }
end

def counts
  say "count", Member.where(email: ADA).count, Member.distinct.count(:phone), Member.joins(:loans).group("members.id").order("members.id").count, Loan.joins(:member).group("members.email").count.sort
  say "exists", Member.exists?(email: ADA), Member.exists?(email: "nobody"), Member.where(email: BOB).any?, Member.where(Loan.where("loans.email = members.email").arel.exists).order(:id).pluck(:email)
  say "group", Member.where("visits < 100").group(:phone).order(Arel.sql("COUNT(*) DESC, MIN(id)")).count.to_a, Member.distinct.pluck(:phone).size
  [0, 2, 4].each { |offset| say "page", Member.where.not(city: "Many").order(visits: :desc).limit(2).offset(offset).map(&:email) }
  say "page", Member.where(city: "Many").find_each(batch_size: 25).map(&:email).size, Member.in_batches(of: 30).map { |part| part.pluck(:email).size }
end

def changes
  ada = Member.find_by!(email: ADA)
  ada.update!(email: CHANGED["email"], note: CHANGED["note"])
  ada.increment!(:visits)
  say "update", ada.reload.said
  ada.update_columns(email: ADA, phone: nil)
  say "update", Member.where(email: EVE).update_all(phone: CHANGED["phone"]), Member.where(phone: "nothing").update_all(note: nil), Member.find_by(email: EVE).phone
  Member.where(email: ADA).update_all(["phone = ?, note = CASE WHEN email = ? THEN note ELSE NULL END", MEMBERS[0]["phone"], ADA])
  Loan.where(title: "Dracula").update_all("email = (SELECT m.email FROM members m WHERE m.id = loans.member_id)")
  say "update", Member.where("visits < 100").order(:id).map(&:said), Loan.where(title: "Dracula").pick(:email), ada.with_lock { [ada.email, ada.phone] }
  say "upsert", Member.upsert_all([UPSERTED, GONE.merge("email" => EVE)], unique_by: :email, returning: %w[email phone note]).rows.sort
  say "upsert", Member.insert_all([MEMBERS[0]], unique_by: :email).rows, Member.upsert(MEMBERS[0].merge("city" => "Bath"), unique_by: :email, returning: %w[email city]).rows
  say "upsert", Member.find_or_create_by!(email: ADA).city, Member.create_with(city: "New").find_or_create_by!(email: GONE["email"]).city, Member.create_or_find_by!(email: GONE["email"]) { |one| one.city = "Other" }.city
  Member.find_by!(email: GONE["email"]).destroy
end

def ends
  Member.transaction do
    Member.create!(GONE)
    say "transaction", Member.find_by(email: GONE["email"]).note
    raise ActiveRecord::Rollback
  end
  say "transaction", Member.find_by(email: GONE["email"])
  Member.transaction do
    [ADA, GONE["email"]].each do |email|
      Member.transaction(requires_new: true) { Member.create!(GONE.merge("email" => email)) }
      say "savepoint", email, "kept"
    rescue ActiveRecord::RecordNotUnique => error
      say "duplicate", state(error), error.message.include?("members_email_key")
    end
    Member.transaction(requires_new: true) do
      Member.where(email: GONE["email"]).update_all(note: "sentinel note: undone")
      raise ActiveRecord::Rollback
    end
    say "savepoint", Member.lock.find_by(email: GONE["email"]).note
  end
  refused("order") { Member.order(:email).to_a }
  refused("matches") { Member.where(Member.arel_table[:email].matches("ada%")).to_a }
  refused("case_sensitive: false") { Insensitive.new(email: ADA).valid? }
  # `note` is sealed at random, and the key beside it.
  say "distinct", Member.joins(:loans).distinct.map(&:said).sort_by(&:first)
  say "in", Member.where(id: Loan.select(:member_id).distinct).order(:id).map(&:said)
  Member.find_by!(email: BOB).loans.destroy_all
  say "delete", Member.destroy_by(email: BOB).size, Member.where(email: [GONE["email"], EVE]).delete_all
  say "delete", Member.where("visits < 100").order(:id).pluck(:email), Loan.delete_all, Member.delete_all
end

[true, false].each do |prepared|
  ActiveRecord::Base.establish_connection(
    adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"], password: ENV["PGPASSWORD"], database: ENV["PGDATABASE"],
    sslmode: "disable", prepared_statements: prepared
  )
  writes
  searches
  related
  counts
  changes
  ends
end
puts "done"
