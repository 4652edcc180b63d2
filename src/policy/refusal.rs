//! What a client is told when the answer is no: SQLSTATE, message, detail, hint.
//!
//! Every refusal of the gate is made here, so that no text of it can hold a value.

use crate::catalog::{Lack, Misfit};
use crate::statement::Unproven;

/// See the module's text. `message` begins with `sealgate:`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub sqlstate: &'static str,
    /// Label of `sealgate_refusals_total{reason}` and rule of the record.
    pub reason: &'static str,
    pub message: &'static str,
    pub detail: String,
    pub hint: String,
}

/// program_limit_exceeded.
const TOO_LARGE: &str = "54000";

/// What a client may do whose encoding is none of those.
const CONVERTED: &str = "Use UTF8, SQL_ASCII or an encoding of one byte a character (LATIN1, WIN1252 and the like) by client_encoding.";

impl Refusal {
    fn new(
        sqlstate: &'static str,
        reason: &'static str,
        message: &'static str,
        detail: &str,
        hint: &str,
    ) -> Refusal {
        Refusal { sqlstate, reason, message, detail: detail.to_owned(), hint: hint.to_owned() }
    }

    /// SG001: the statement cannot be proven handled.
    #[must_use]
    pub fn unproven(unproven: &Unproven) -> Refusal {
        // What the server calls a limit of the program.
        let sqlstate = if unproven.reason == "too-long" { TOO_LARGE } else { "SG001" };
        Refusal {
            sqlstate,
            reason: unproven.reason,
            message: "sealgate: statement refused: it may touch classified data and cannot be handled",
            detail: unproven.detail.clone(),
            hint: unproven.hint.clone(),
        }
    }

    /// SG001: something other than the text of a statement.
    #[must_use]
    pub fn unhandled(reason: &'static str, detail: &str, hint: &str) -> Refusal {
        let message = "sealgate: statement refused: it may touch classified data and cannot be handled";
        Refusal::new("SG001", reason, message, detail, hint)
    }

    /// 54000: a message or a row that must be held whole, and is larger than may be.
    #[must_use]
    pub fn too_large(detail: &str, hint: &str) -> Refusal {
        Refusal { sqlstate: TOO_LARGE, ..Refusal::unhandled("too-large", detail, hint) }
    }

    /// Is it one that Sealgate itself decides, and not the server's word for a value?
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.sqlstate.starts_with("SG") || self.sqlstate == TOO_LARGE
    }

    /// SG001: `client_encoding` is one of which sealed text is not converted.
    #[must_use]
    pub fn not_converted() -> Refusal {
        let detail = "client_encoding is one of which sealed text is not converted: it has several bytes a character, or the server converts it by another map.";
        Refusal::unhandled("client-encoding", detail, CONVERTED)
    }

    /// The same of a session that begins.
    #[must_use]
    pub fn not_converted_for() -> Refusal {
        let message = "sealgate: session refused: the database has sealed columns, and their text is not converted for its client_encoding";
        Refusal { message, ..Refusal::not_converted() }
    }

    /// SG001: an entry of the policy does not fit the database, so that what it was meant for may
    /// stand there under another name.
    #[must_use]
    pub fn misfit(misfit: &Misfit) -> Refusal {
        let message = "sealgate: database refused: the policy does not fit it";
        let detail = format!("field {}: {}.", misfit.field(), misfit.coded());
        let hint = match misfit.lack {
            Lack::Database | Lack::Table => {
                "Correct table of the [[field]] and reload; or make the table past Sealgate; or, where a migration through Sealgate is to make it, write missing = \"serve\" under [policy] and reload."
            }
            Lack::NotATable => {
                "Name the table behind it in the [[field]] and reload; with missing = \"serve\" under [policy] the rest of the database is served meanwhile."
            }
            Lack::Column => {
                "Correct column of the [[field]] and reload; or add the column past Sealgate; with missing = \"serve\" under [policy] the rest of the database is served meanwhile."
            }
        };
        Refusal::new("SG001", "policy-misfit", message, &detail, hint)
    }

    /// SG002: a token that does not prove for whom a session asks.
    #[must_use]
    pub fn token(why: &str) -> Refusal {
        let message = "sealgate: the token does not prove an end user";
        let detail = format!("sealgate.token: {why}.");
        Refusal::new("SG002", "token", message, &detail, "Ask for a new token, or correct [[token]].")
    }

    /// SG001: a setting whose name nobody can tell, where one is a token.
    #[must_use]
    pub fn token_perhaps() -> Refusal {
        let detail = "set_config is given a name that is not a plain constant: it may be sealgate.token, which the server must not see.";
        let hint = "Write the name of the setting as a constant in the text.";
        Refusal::unhandled("token", detail, hint)
    }

    /// SG003: a walsender from, or an upstream in, a region that is not allowed.
    #[must_use]
    pub fn residency(detail: &str) -> Refusal {
        let message = "sealgate: refused by residency: this peer may not receive the data of this server";
        let hint = "Name the peer's address under [[residency.place]] if its region is known and allowed.";
        Refusal::new("SG003", "residency", message, detail, hint)
    }

    /// SG004: a value that is not valid for the declared type of the field.
    #[must_use]
    pub fn value(field: &str, detail: &str) -> Refusal {
        let message = "sealgate: a value is not valid for the declared type of a classified field";
        let hint = "Send the value as the declared type, in UTF-8.";
        Refusal::new("SG004", "value", message, &format!("field {field}: {detail}"), hint)
    }

    /// What the server says of a value that is none of a column's type, without the value: with its own
    /// SQLSTATE.
    #[must_use]
    pub fn invalid(field: &str, sqlstate: &'static str, what: &str) -> Refusal {
        let message = "sealgate: a value is not valid for the declared type of a classified field";
        let hint = "The field's type is that of its [[field]]; the value is not repeated.";
        Refusal::new(sqlstate, "value", message, &format!("field {field}: {what}"), hint)
    }

    /// 22P05: a value of which `client_encoding` cannot express a character, as the server has it.
    #[must_use]
    pub fn has_no_form(field: &str, encoding: &str) -> Refusal {
        let message = "sealgate: a character of a value has no equivalent in client_encoding";
        let detail = format!("field {field}: there is no equivalent in encoding \"{encoding}\"");
        Refusal::new("22P05", "value", message, &detail, "SET client_encoding TO 'UTF8'.")
    }

    /// SG005: a stored value that does not open.
    #[must_use]
    pub fn does_not_open(field: &str, detail: &str) -> Refusal {
        let message = "sealgate: a sealed value does not open";
        let hint =
            "It was written past Sealgate, moved, altered, or sealed with a key that this keyring lacks.";
        Refusal::new("SG005", "does-not-open", message, &format!("field {field}: {detail}"), hint)
    }

    /// SG006: the record cannot be written, so access is refused.
    #[must_use]
    pub fn unrecorded() -> Refusal {
        let message = "sealgate: the record of this access could not be written; access is refused";
        let detail = "The audit folder does not accept records.";
        Refusal::new("SG006", "unrecorded", message, detail, "See the log and the audit folder of the gate.")
    }

    /// SG007: cut by a limit of the watch.
    #[must_use]
    pub fn cut(rule: &str) -> Refusal {
        let message = "sealgate: session cut by the watch";
        Refusal::new(
            "SG007",
            "watch-cut",
            message,
            &format!("limit exceeded: {rule}"),
            "Ask your security team.",
        )
    }

    /// SG007: a detector of the watch ended the session.
    #[must_use]
    pub fn ended_by_watch() -> Refusal {
        let message = "sealgate: session cut by the watch";
        let detail = "A detector of the watch ended it, or locked its user out.";
        Refusal::new("SG007", "watch-cut", message, detail, "Ask your security team.")
    }

    /// SG007: a user who is locked out for a time.
    #[must_use]
    pub fn locked() -> Refusal {
        let message = "sealgate: this user is locked out by the watch";
        let detail = "A detector of the watch locked this user out for a time.";
        Refusal::new("SG007", "watch-locked", message, detail, "Ask your security team.")
    }

    /// SG007: nothing classified for this user for a time.
    #[must_use]
    pub fn refused_by_watch() -> Refusal {
        let message = "sealgate: access to classified data is refused by the watch";
        let detail = "The watch refuses this user classified data for a time.";
        Refusal::new("SG007", "watch-refused", message, detail, "Ask your security team.")
    }

    /// SG007: nothing classified for this user without a purpose.
    #[must_use]
    pub fn wants_purpose() -> Refusal {
        let message = "sealgate: the watch asks what this access to classified data is for";
        let detail = "The watch wants a purpose of this user for a time; it goes on record.";
        let hint = "SET sealgate.purpose = '...' and send the statement again.";
        Refusal::new("SG007", "watch-purpose", message, detail, hint)
    }

    /// 08P01: a peer that does not speak the protocol.
    #[must_use]
    pub fn protocol(detail: &str) -> Refusal {
        Refusal::new("08P01", "protocol", "sealgate: protocol violation", detail, "")
    }
}
