# Migrations as Rails has them, of columns of many types with defaults: what they write, as it stands.
require "active_record"

ActiveRecord::Base.establish_connection(
  adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], username: ENV["PGUSER"], password: ENV["PGPASSWORD"], database: ENV["PGDATABASE"],
)
ActiveRecord::Migration.verbose = false

class CreatePeople < ActiveRecord::Migration[6.1]
  def change
    create_table :people, comment: "people and what is known of them" do |t|
      t.string :email, limit: 254, null: false, comment: "as it was given"
      t.string :phone, limit: 20, null: false, default: ""
      t.date :born, default: "2000-01-01"
      t.integer :level, null: false, default: 3
      t.boolean :active, null: false, default: false
      t.decimal :salary, precision: 10, scale: 2, null: false, default: 0
      t.text :note
      t.string :city, limit: 50, default: "none"
      t.timestamps default: -> { "CURRENT_TIMESTAMP" }
    end
    add_index :people, :email, unique: true
    add_index :people, "lower(email)", name: "people_email_lower", unique: true
    add_index :people, %i[phone city], name: "people_phone_city"
    add_index :people, :phone, name: "people_phone_pattern", opclass: :varchar_pattern_ops
    add_index :people, :born, where: "born IS NOT NULL", name: "people_born_known"
    add_check_constraint :people, "level IN (1, 2, 3)", name: "people_level_known" if respond_to?(:add_check_constraint)
    create_table(:guests) { |t| t.string :email, limit: 254 }
    add_foreign_key :guests, :people, column: :email, primary_key: :email, on_delete: :cascade
  end
end

class ChangePeople < ActiveRecord::Migration[6.1]
  def change
    add_column :people, :nick, :string, limit: 40, default: "x", null: false
    add_column :people, :place, :string, limit: 20
    change_column_default :people, :place, from: nil, to: "somewhere"
    change_column_default :people, :born, from: "2000-01-01", to: nil
    change_column_null :people, :nick, true
    add_index :people, :level
    reversible { |way| way.up { change_column :people, :phone, :string, limit: 20 } }
  end
end

# The server's own words of each change, as Rails runs migrations: each in a transaction.
[CreatePeople, ChangePeople].each { |migration| ActiveRecord::Base.transaction { migration.migrate(:up) } }

class Person < ActiveRecord::Base
end
ActiveRecord::Base.connection.execute("INSERT INTO people (email, note) VALUES ('ada@sentinel.example', 'sentinel note')")
row = ActiveRecord::Base.connection.select_rows("SELECT phone, born, level, active, salary, city, nick, place FROM people").first
puts "people: #{row.map(&:to_s)}"
ActiveRecord::Migration.new.add_column(:people, :seen, :integer)
puts "done"
