//! What operators do with Sealgate itself stands in the record.

use serde_json::Value;

use super::*;

fn admin(records: &[Value]) -> Vec<(String, String)> {
    let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    let events = records.iter().filter(|record| record["kind"] == "admin");
    events.map(|record| (text(record, "action"), text(record, "verdict"))).collect()
}

fn awaits(gate: &Gate, expected: &[(&str, &str)]) -> Vec<Value> {
    let expected: Vec<_> =
        expected.iter().map(|(action, verdict)| ((*action).to_owned(), (*verdict).to_owned())).collect();
    let found = records_with(gate, "admin", expected.len());
    assert_eq!(admin(&found), expected);
    found
}

#[test]
fn start_reload_and_stop_stand_in_the_record_applied_or_refused() {
    let server = shop::server(15);
    let (mut gate, _tap) = shop::open(&server);
    let started = awaits(&gate, &[("start", "applied")]);
    assert_eq!((&started[0]["kind"], &started[0]["seq"]), (&"admin".into(), &1.into()));
    let rule = started[0]["rule"].as_str().unwrap();
    assert!(
        rule.contains(env!("CARGO_PKG_VERSION")) && rule.contains("3 fields; a keyring of 2 domains"),
        "{rule}"
    );
    gate.signal("HUP");
    awaits(&gate, &[("start", "applied"), ("reload", "applied")]);
    gate.configure(|text| text.replace("[admin]", "[admim]"));
    gate.signal("HUP");
    let found = awaits(&gate, &[("start", "applied"), ("reload", "applied"), ("reload", "refused")]);
    assert!(found[2]["rule"].as_str().unwrap().contains("admim"), "{}", found[2]);
    gate.configure(|text| text.replace("[admim]", "[admin]"));
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    let events = [("start", "applied"), ("reload", "applied"), ("reload", "refused"), ("stop", "applied")];
    let found = awaits(&gate, &events);
    assert_eq!(found.last().unwrap()["rule"], "drained", "nothing comes behind it");
    // A start that is refused stands there too, and takes no number twice.
    let keyring = gate.folder().join("keys/keyring.json");
    fs::rename(&keyring, keyring.with_extension("away")).unwrap();
    gate.run_until_logged("keyring.json");
    gate.wait();
    let events = [&events[..], &[("start", "refused")]].concat();
    let found = awaits(&gate, &events);
    assert!(found.last().unwrap()["rule"].as_str().unwrap().contains("keyring.json"));
    fs::rename(keyring.with_extension("away"), &keyring).unwrap();
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    let events = [&events[..], &[("start", "applied")]].concat();
    let found = awaits(&gate, &events);
    let numbers: Vec<_> = found.iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn keys_that_are_made_or_refused_stand_in_the_record_whether_or_not_it_runs() {
    let server = shop::server(18);
    let mut gate = classified(Setup::before(server.address())).prepare().unwrap();
    let audit = gate.folder().join("audit");
    assert!(!audit.exists(), "a verb makes no folder that a service could not write to");
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
    let field = |column: &str| {
        format!(
            "\n[[field]]\ntable = \"public.customers\"\ncolumn = \"{column}\"\nclass = \"contact\"\ntype = \"text\"\n\
             seal = \"random\"\ndomain = \"{column}\"\nstate = \"sealed\"\n"
        )
    };
    gate.configure(|text| text + &field("note"));
    assert!(gate.verb(&["keys", "init"]).status.success());
    // Nothing is done, and nothing told.
    assert!(gate.verb(&["keys", "init"]).status.success());
    let beside = || -> Vec<Value> {
        let names = fs::read_dir(&audit).unwrap().map(|entry| entry.unwrap().path());
        let own = names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("admin-"));
        own.map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()).collect()
    };
    let told = beside();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["action"], &told[0]["verdict"]), (&"keys-init".into(), &"applied".into()));
    assert!(told[0]["rule"].as_str().unwrap().ends_with("domains note"), "{}", told[0]);
    assert!(told[0]["account"].as_str().unwrap().starts_with("uid "));
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    gate.configure(|text| text.replace("seal = \"equality\"", "seal = \"random\""));
    assert_eq!(gate.verb(&["keys", "init"]).status.code(), Some(2));
    assert_eq!(beside().len(), 1, "nobody else writes: it goes where the journal goes");
    let last = records(&gate).pop().unwrap();
    assert_eq!((&last["action"], &last["verdict"]), (&"keys-init".into(), &"refused".into()), "{last}");
    gate.configure(|text| text.replacen("seal = \"random\"", "seal = \"equality\"", 1));
    gate.run_again().unwrap_or_else(|log| panic!("{log}"));
}
