//! P1, as an attacker would try it: a value that a client assigns to or compares with a
//! sealed field reaches the server in no message, and so stands in none of its files.
//!
//! Each form of the tables carries a random sentinel of its own through the gate. Then
//! everything that went to the server and everything that the server stored is searched
//! for all of them. A control run sends the same forms to the server itself and must find
//! what the first did not: so the search is known to see.

mod batches;
mod followed;
mod form;
mod refused;
mod sentinels;
mod shop;
mod supported;
mod visit;

use std::collections::BTreeSet;

use sealgate::store::postgres::{Options, Throwaway};

use crate::harness::{Setup, Tap, pg_with};
use visit::{Visit, Whose};

fn check(major: u32) {
    let server = pg_with(Options {
        major: Some(major),
        configuration: vec![
            "log_min_duration_statement = 0\nlog_parameter_max_length_on_error = -1\n\
             log_error_verbosity = verbose\nlog_connections = on\nmax_prepared_transactions = 5\n\
             debug_print_parse = off\nautovacuum = off"
                .to_owned(),
        ],
        ..Options::default()
    });
    let mut wrong = gated(&server);
    wrong.extend(control(&server));
    assert!(wrong.is_empty(), "PostgreSQL {major}: {} faults\n{}", wrong.len(), wrong.join("\n"));
}

/// Every form through the gate: the faults found.
fn gated(server: &Throwaway) -> Vec<String> {
    server.create_database("shop").unwrap();
    server.execute("shop", shop::SCHEMA).unwrap();
    let tap = Tap::before(server.address());
    let gate = shop::fields(Setup::before(tap.address())).late().start();
    let mut visit = Visit::new(gate.address(), Whose::Gate);
    visit.everything();
    let (sentinels, mut wrong) = visit.leave();
    let search = sentinels.search();
    let mut leaks = BTreeSet::new();
    for (index, encoding) in search.in_bytes(&tap.to_server()) {
        leaks.insert((index, format!("on the wire to the server ({encoding})")));
    }
    server.execute("shop", "CHECKPOINT").unwrap();
    for (place, folder) in [("the server's", server.folder()), ("the gate's", gate.folder())] {
        for (index, encoding, file) in search.in_folder(folder) {
            leaks.insert((index, format!("in {place} {} ({encoding})", file.display())));
        }
    }
    wrong.extend(leaks.iter().map(|(index, place)| format!("LEAK {}: {place}", sentinels.all[*index].form)));
    wrong
}

/// Every form straight to the server: what the search does not find.
fn control(server: &Throwaway) -> Vec<String> {
    server.create_database("control").unwrap();
    server.execute("control", shop::SCHEMA).unwrap();
    let tap = Tap::before(server.address());
    let mut visit = Visit::new(tap.address(), Whose::Server);
    visit.everything();
    let (sentinels, mut wrong) = visit.leave();
    let search = sentinels.search();
    server.execute("control", "CHECKPOINT").unwrap();
    let wire: BTreeSet<usize> = search.in_bytes(&tap.to_server()).iter().map(|hit| hit.0).collect();
    let files = search.in_folder(server.folder());
    let tables = server.data_folder().join("base");
    let mut tables_hit = 0;
    for (index, sentinel) in sentinels.all.iter().enumerate() {
        if !wire.contains(&index) {
            wrong.push(format!("the search is blind: {} is not on the wire", sentinel.form));
        }
        let hits = || files.iter().filter(|hit| hit.0 == index);
        if sentinel.stored && hits().next().is_none() {
            wrong.push(format!("the search is blind: {} is not in the files", sentinel.form));
        }
        tables_hit += usize::from(hits().any(|hit| hit.2.starts_with(&tables)));
    }
    if tables_hit < supported::WRITES.len() {
        wrong.push(format!("the search is blind: {tables_hit} values in the tables themselves"));
    }
    wrong
}

#[test]
fn no_classified_value_reaches_postgresql_15_in_any_form() {
    check(15);
}

#[test]
fn no_classified_value_reaches_postgresql_18_in_any_form() {
    check(18);
}

#[test]
fn at_least_sixty_forms_are_refused() {
    let tables = [refused::ASSIGNED, refused::COMPARED, refused::DEFINED, refused::SEVERAL];
    let forms: usize = tables.iter().map(|table| table.len()).sum();
    let mut claims: Vec<&str> = tables.iter().flat_map(|table| table.iter()).map(|form| form.claim).collect();
    claims.extend(
        refused::CONTAINED
            .iter()
            .chain(followed::FOLLOWED)
            .chain(supported::WRITES)
            .chain(supported::FINDS)
            .map(|form| form.claim),
    );
    claims.extend(batches::BATCHES.iter().map(|batch| batch.claim));
    claims.sort_unstable();
    assert!(forms >= 60, "{forms} refused forms");
    assert!(claims.windows(2).all(|pair| pair[0] != pair[1]), "two forms make the same claim");
}
