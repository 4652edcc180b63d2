//! Where the policy does not fit a database: an entry that names a table or a column which is not
//! there protects nothing, and what it was meant for may stand beside it under another name.

use std::fmt;
use std::sync::Arc;

use super::pattern::PolicyField;

/// What an entry of the policy does not find.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Lack {
    /// There is no such database.
    Database,
    /// No table of this name, or none that its pattern matches.
    Table,
    /// Something has the name, and is no table.
    NotATable,
    /// No table of the name has the column.
    Column,
}

impl Lack {
    /// All of them.
    pub const ALL: [Lack; 4] = [Lack::Database, Lack::Table, Lack::NotATable, Lack::Column];

    /// Its lasting name, wherever it is told: in the log, the metric, the readiness, a refusal and `check`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Lack::Database => "database-missing",
            Lack::Table => "table-missing",
            Lack::NotATable => "table-kind",
            Lack::Column => "column-missing",
        }
    }
}

/// What comes of a misfit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Consequence {
    /// Its database is refused.
    Refused,
    /// The entry names no database, so that none is refused for it.
    Unprotected,
    /// The table was dropped through here, and may be made again.
    Awaited,
    /// The policy says that it is to come.
    Served,
}

/// One entry of the policy that does not fit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Misfit {
    /// None: the entry is meant for every database, and fits none of them.
    pub database: Option<Arc<str>>,
    /// `schema.table`, as the policy has it.
    pub table: Arc<str>,
    pub column: Arc<str>,
    pub lack: Lack,
    pub consequence: Consequence,
}

impl Misfit {
    #[must_use]
    pub fn of(entry: &PolicyField, lack: Lack, consequence: Consequence) -> Misfit {
        Misfit {
            database: entry.field.database.clone(),
            table: entry.field.table.to_string().into(),
            column: entry.field.column.clone(),
            lack,
            consequence,
        }
    }

    /// What it does not find and where, with the name of that.
    #[must_use]
    pub fn coded(&self) -> String {
        format!("{self} [{}]", self.lack.code())
    }

    /// The field, as it stands in records, metrics and messages.
    #[must_use]
    pub fn field(&self) -> String {
        format!("{}.{}", self.table, self.column)
    }
}

/// What the entry does not find, and where.
impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misfit { database, table, column, lack, .. } = self;
        let Some(database) = database else {
            return match lack {
                Lack::Database | Lack::Table => write!(f, "no database has a table {table}"),
                Lack::NotATable => write!(f, "{table} is a table in no database"),
                Lack::Column => write!(f, "{table} has a column {column} in no database"),
            };
        };
        match lack {
            Lack::Database => write!(f, "there is no database \"{database}\""),
            Lack::Table => write!(f, "database \"{database}\" has no table {table}"),
            Lack::NotATable => {
                write!(f, "{table} in database \"{database}\" is no table: name the table behind it")
            }
            Lack::Column => write!(f, "{table} in database \"{database}\" has no column {column}"),
        }
    }
}
