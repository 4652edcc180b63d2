//! What carries rows of a database elsewhere by itself: publications, and ways to other servers
//! (subscriptions, foreign servers and what is made on them). What is classified and not sealed is
//! not published; a way has literal hosts, which `policy` judges.

use std::sync::Arc;

use pg_query::protobuf::node::Node as Kind;
use pg_query::protobuf::{AlterPublicationAction, DefElemAction, Node, PublicationObjSpecType};

use crate::catalog::{Field, Snapshot};

use super::super::facts::Unproven;
use super::super::read::tree::{self, kind};
use super::super::refusal::{Proven, refuse};
use super::conninfo;

const UNTOLD: &str = "Name the host: another one than this server's own, as hostaddr or host.";

/// What a statement of this kind comes to.
pub(in crate::statement) enum Link {
    /// It leads to these hosts, if it is one; names in it count as in any other.
    To(Vec<Arc<str>>),
    /// It takes something out of a publication, whatever that is.
    Withdrawn,
}

/// Judges a statement that may be of this kind.
pub(in crate::statement) fn judge(snapshot: &Snapshot, node: &Node) -> Proven<Link> {
    let hosts = match kind(node) {
        Some(Kind::CreatePublicationStmt(create)) => {
            publishes(snapshot, create.for_all_tables, &create.pubobjects)?;
            Vec::new()
        }
        Some(Kind::AlterPublicationStmt(alter)) => {
            if AlterPublicationAction::try_from(alter.action) == Ok(AlterPublicationAction::ApDropObjects) {
                return Ok(Link::Withdrawn);
            }
            publishes(snapshot, alter.for_all_tables, &alter.pubobjects)?;
            Vec::new()
        }
        Some(Kind::CreateSubscriptionStmt(create)) => subscribed(&create.conninfo)?,
        Some(Kind::AlterSubscriptionStmt(alter)) if !alter.conninfo.is_empty() => {
            subscribed(&alter.conninfo)?
        }
        Some(Kind::CreateForeignServerStmt(create)) => {
            let given = given(&create.options)?;
            let options = given.iter().map(|one| (one.name.as_str(), one.value.as_str()));
            hosts_of(&create.fdwname, options)?
        }
        Some(Kind::AlterForeignServerStmt(alter)) => altered(&alter.options)?,
        Some(Kind::CreateForeignTableStmt(table)) => known(snapshot, &table.servername)?,
        Some(Kind::ImportForeignSchemaStmt(import)) => known(snapshot, &import.server_name)?,
        Some(_) | None => Vec::new(),
    };
    Ok(Link::To(hosts))
}

/// Refuses what would publish a field that is not sealed.
fn publishes(snapshot: &Snapshot, all: bool, objects: &[Node]) -> Proven<()> {
    let awaited = snapshot.patterns().iter().map(|entry| &entry.field);
    let legible = |field: &&Field| field.domain.is_none();
    let Some(one) = snapshot.fields().iter().chain(awaited).find(legible) else { return Ok(()) };
    if all {
        return Err(published(one));
    }
    for object in objects {
        let Some(Kind::PublicationObjSpec(object)) = kind(object) else { return Err(published(one)) };
        match PublicationObjSpecType::try_from(object.pubobjtype) {
            // By their names, as anywhere.
            Ok(PublicationObjSpecType::PublicationobjTable) => {}
            Ok(PublicationObjSpecType::PublicationobjTablesInSchema) => {
                let of_field = snapshot
                    .fields()
                    .iter()
                    .filter(legible)
                    .find(|field| *field.table.schema == *object.name);
                let of_pattern = || {
                    let matches = snapshot
                        .patterns()
                        .iter()
                        .filter(|entry| entry.matches(Some(&object.name), &entry.field.table.name));
                    matches.map(|entry| &entry.field).find(legible)
                };
                if let Some(field) = of_field.or_else(of_pattern) {
                    return Err(published(field));
                }
            }
            // The current schema is anybody's; a continuation is resolved by the grammar.
            Ok(_) | Err(_) => return Err(published(one)),
        }
    }
    Ok(())
}

fn published(field: &Field) -> Unproven {
    refuse(
        "publication",
        format!("a publication would carry {}, which is classified and not sealed", field.path()),
        "Name the tables that it is of, without those that have such columns.",
    )
}

/// One option of a server, as a statement gives it.
struct Given {
    name: String,
    value: String,
    dropped: bool,
}

fn given(nodes: &[Node]) -> Proven<Vec<Given>> {
    let one = |node: &Node| {
        let Some(Kind::DefElem(option)) = kind(node) else {
            return Err(untold("a foreign server whose options cannot be read"));
        };
        let dropped = DefElemAction::try_from(option.defaction) == Ok(DefElemAction::DefelemDrop);
        let value = option.arg.as_deref().and_then(tree::name).unwrap_or_default().to_owned();
        Ok(Given { name: option.defname.clone(), value, dropped })
    };
    nodes.iter().map(one).collect()
}

/// Where a server leads, by its wrapper and its options.
fn hosts_of<'a>(
    wrapper: &str,
    options: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Proven<Vec<Arc<str>>> {
    if wrapper == "file_fdw" {
        return Err(refuse(
            "server-file",
            "a foreign server of files and programs of the server, in a database with classified columns",
            "Use COPY ... FROM STDIN, with the file at the client.",
        ));
    }
    if options.clone().any(|(name, _)| name == "service") {
        return Err(untold("a foreign server by a service file of the server"));
    }
    let hosts: Vec<_> =
        options.filter(|(name, _)| is_host(name)).flat_map(|(_, value)| pieces(value)).collect();
    if hosts.is_empty() { Err(untold("a foreign server without a host")) } else { Ok(hosts) }
}

fn is_host(option: &str) -> bool {
    matches!(option, "host" | "hostaddr")
}

fn pieces(hosts: &str) -> impl Iterator<Item = Arc<str>> {
    hosts.split(',').map(Arc::from)
}

fn altered(options: &[Node]) -> Proven<Vec<Arc<str>>> {
    let given = given(options)?;
    if given.iter().any(|one| one.dropped && is_host(&one.name) || !one.dropped && one.name == "service") {
        return Err(untold("a foreign server without a host"));
    }
    let hosts = given.iter().filter(|one| is_host(&one.name));
    Ok(hosts.flat_map(|one| pieces(&one.value)).collect())
}

/// What is made on a server that is there must lead where a new one may.
fn known(snapshot: &Snapshot, name: &str) -> Proven<Vec<Arc<str>>> {
    let Some(server) = snapshot.foreign_server(name) else {
        return Err(refuse(
            "link",
            "the foreign server is not known (yet), and with it where it leads",
            "COMMIT what makes the server, then send the statement again.",
        ));
    };
    hosts_of(&server.wrapper, server.options.iter().filter_map(|option| option.split_once('=')))
}

fn subscribed(conninfo: &str) -> Proven<Vec<Arc<str>>> {
    let hosts = conninfo::hosts(conninfo).ok_or_else(|| {
        refuse("link", "a subscription whose connection string leaves open where it leads", UNTOLD)
    })?;
    Ok(hosts.into_iter().map(Arc::from).collect())
}

fn untold(what: &str) -> Unproven {
    refuse("link", format!("{what} leads back to this one, as far as anybody can tell"), UNTOLD)
}

#[cfg(test)]
mod tests {
    use super::super::super::read::prefilter::Prefilter;
    use super::super::super::shop::{judged, shop};

    /// What becomes of a statement: the hosts that it leads to, or why it is refused.
    fn told(sql: &str) -> String {
        assert!(Prefilter::new(&shop()).hits(sql.as_bytes()), "no hit: {sql}");
        match judged(sql) {
            Ok(facts) => facts.statements[0].effect.links.join(" "),
            Err(unproven) => unproven.reason.to_owned(),
        }
    }

    #[test]
    fn what_is_classified_and_not_sealed_is_not_published() {
        for (sql, expected) in [
            ("CREATE PUBLICATION p FOR ALL TABLES", "publication"),
            ("CREATE PUBLICATION p FOR TABLES IN SCHEMA public", "publication"),
            ("CREATE PUBLICATION p FOR TABLES IN SCHEMA other, \"public\"", "publication"),
            ("CREATE PUBLICATION p FOR TABLE orders, TABLES IN SCHEMA public", "publication"),
            ("CREATE PUBLICATION p FOR TABLES IN SCHEMA CURRENT_SCHEMA", "publication"),
            ("CREATE PUBLICATION p FOR TABLES IN SCHEMA U&\"pu\\0062lic\"", "publication"),
            ("ALTER PUBLICATION p ADD TABLES IN SCHEMA public", "publication"),
            ("ALTER PUBLICATION p SET TABLES IN SCHEMA public", "publication"),
            ("CREATE PUBLICATION p FOR TABLE customers", "definition"),
            ("CREATE PUBLICATION p FOR TABLE public.customers (id, nick)", "definition"),
            ("ALTER PUBLICATION p ADD TABLE customers", "definition"),
            ("CREATE PUBLICATION p FOR TABLE orders WHERE (who > 0)", ""),
            ("CREATE PUBLICATION p FOR TABLES IN SCHEMA other", ""),
            ("CREATE PUBLICATION p", ""),
            ("ALTER PUBLICATION p DROP TABLE customers", ""),
            ("ALTER PUBLICATION p DROP TABLES IN SCHEMA public", ""),
            ("ALTER PUBLICATION p SET (publish = 'insert')", ""),
        ] {
            assert_eq!(told(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_way_to_another_server_names_its_host() {
        for (sql, expected) in [
            (
                "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'db.example', port '1')",
                "db.example",
            ),
            (
                "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'a,b', hostaddr '192.0.2.7')",
                "a b 192.0.2.7",
            ),
            ("CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'shop')", "link"),
            ("CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw", "link"),
            ("CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'a', service 'b')", "link"),
            ("CREATE SERVER s FOREIGN DATA WRAPPER file_fdw", "server-file"),
            ("ALTER SERVER s OPTIONS (SET host 'db.example')", "db.example"),
            ("ALTER SERVER s OPTIONS (ADD hostaddr '127.0.0.1')", "127.0.0.1"),
            ("ALTER SERVER s OPTIONS (DROP host)", "link"),
            ("ALTER SERVER s OPTIONS (SET port '5433')", ""),
            ("ALTER SERVER s VERSION '2'", ""),
            ("CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'a', password 'b')", ""),
            ("CREATE FOREIGN TABLE f (id int) SERVER far", "db.example"),
            ("CREATE FOREIGN TABLE f (id int) SERVER loop", "link"),
            ("CREATE FOREIGN TABLE f (id int) SERVER nowhere", "link"),
            ("CREATE FOREIGN TABLE f (id int) SERVER far OPTIONS (table_name 'customers')", "definition"),
            ("IMPORT FOREIGN SCHEMA public FROM SERVER far INTO mirror", "db.example"),
            ("IMPORT FOREIGN SCHEMA public FROM SERVER loop INTO mirror", "link"),
            ("CREATE SUBSCRIPTION s CONNECTION 'host=db.example dbname=x' PUBLICATION p", "db.example"),
            ("CREATE SUBSCRIPTION s CONNECTION 'postgresql://a,127.0.0.1/x' PUBLICATION p", "a 127.0.0.1"),
            ("CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)", "link"),
            ("CREATE SUBSCRIPTION s CONNECTION 'service=x' PUBLICATION p", "link"),
            ("ALTER SUBSCRIPTION s CONNECTION E'host=db.example'", "db.example"),
            ("ALTER SUBSCRIPTION s DISABLE", ""),
        ] {
            assert_eq!(told(sql), expected, "{sql}");
        }
    }
}
