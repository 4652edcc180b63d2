# What ActiveRecord makes of sealed columns, whose types it reads from the catalog. An argument says whether what the
# documentation of sealed columns advises is done.

require "active_record"

ActiveRecord::Base.establish_connection(
  adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"], password: ENV["PGPASSWORD"],
  database: ENV["PGDATABASE"], sslmode: "disable"
)
ActiveRecord::Schema.verbose = false
ActiveRecord::Schema.define do
  create_table(:people, if_not_exists: true) do |table|
    table.string :email, limit: 254, null: false
    table.date :born
    table.integer :level
    table.boolean :active
    table.decimal :salary, precision: 10, scale: 2
    table.string :city, limit: 50
  end
end

class Person < ActiveRecord::Base
  self.table_name = "people"
end

if ARGV.first == "advised"
  Person.attribute :born, :date
  Person.attribute :level, :integer
  Person.attribute :active, :boolean
  Person.attribute :salary, :decimal, precision: 10, scale: 2
end

Person.delete_all
ada = Person.create!(email: "ada@sentinel.example", born: Date.new(1815, 12, 10), level: 3, active: true, salary: "10.5", city: "London")
found = Person.find(ada.id)
%w[email born level active salary city].each { |name| puts "#{name}: #{found[name].inspect}" }
puts "by values: #{Person.where(born: Date.new(1815, 12, 10), level: 3, active: true, salary: 10.5).count}"
puts "changed: #{found.tap { |one| one.level = 4; one.active = false; one.save! }.reload.slice(:level, :active).inspect}"
puts "done"
