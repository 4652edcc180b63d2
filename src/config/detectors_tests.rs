use crate::watch::{By, Kind, LimitAction, Rate, Response, Restraint, Trap};

const LEAST: &str = "[listen]\naddress = \"127.0.0.1:6432\"\n[upstream]\nhosts = [\"127.0.0.1:5432\"]\n";

#[test]
fn detectors_say_what_goes_with_them() {
    let read = |text: &str| super::super::load(&format!("{LEAST}{text}"), "f");
    let text = "[watch]\nquiet = \"1m\"\nspool = \"/var/s\"\n[[watch.detector]]\nkind = \"refusals\"\ncount = 3\n\
        window = \"5s\"\naction = \"lock\"\nlock = \"1d\"\n[[watch.detector]]\nkind = \"hours\"\nfrom = \"22:00\"\n\
        until = \"06:30\"\nzone = \"Europe/Berlin\"\ndays = [\"fri\", \"sun\"]\n[[watch.detector]]\nkind = \"injection\"\n";
    let settings = read(text).unwrap();
    assert_eq!((settings.alerting.quiet_ms, settings.alerting.spool.to_str()), (60_000, Some("/var/s")));
    let [refusals, hours, injection] = settings.detectors.as_slice() else { panic!("three") };
    assert_eq!(refusals.kind, Kind::Refusals(Rate { count: 3, window_ms: 5_000 }));
    assert_eq!(
        (refusals.response, refusals.severity),
        (Response::Restrain { restraint: Restraint::Lock, ms: 86_400_000 }, "critical")
    );
    let Kind::Hours(hours) = &hours.kind else { panic!("hours") };
    assert_eq!(
        (hours.from, hours.until, hours.days),
        (1_320, 390, [false, false, false, false, true, false, true])
    );
    assert_eq!((&injection.kind, injection.severity), (&Kind::Injection, "warning"));
    for (entry, says) in [
        ("", "kind is missing"),
        ("kind = \"honey\"", "allowed:"),
        ("kind = \"refusals\"\nzone = \"UTC\"", "zone says nothing of refusals"),
        ("kind = \"injection\"\ncount = 3", "count says nothing of injection"),
        ("kind = \"errors\"\ncount = 0", "from 1 to"),
        ("kind = \"errors\"\nwindow = \"2d\"", "to \"1d\""),
        ("kind = \"errors\"\naction = \"lock\"", "lock is missing"),
        ("kind = \"errors\"\naction = \"refuse\"", "refuse is missing"),
        ("kind = \"errors\"\naction = \"refuse\"\nrefuse = \"31d\"", "from \"1s\" to \"30d\""),
        ("kind = \"errors\"\naction = \"purpose\"\nrefuse = \"1h\"", "refuse without action"),
        ("kind = \"errors\"\naction = \"refuse\"\nrefuse = \"1h\"\ndelay = \"1s\"", "delay without action"),
        (
            "kind = \"errors\"\naction = \"throttle\"\nthrottle = \"1h\"\ndelay = \"11s\"",
            "from \"1s\" to \"10s\"",
        ),
        ("kind = \"errors\"\nlock = \"1h\"", "lock without action"),
        ("kind = \"failed-logins\"\naction = \"lock\"\nlock = \"1h\"", "lock anybody out"),
        ("kind = \"hours\"\nfrom = \"8:00\"\nuntil = \"18:00\"\nzone = \"UTC\"", "a time of day"),
        ("kind = \"hours\"\nfrom = \"08:00\"\nuntil = \"24:00\"\nzone = \"UTC\"", "a time of day"),
        (
            "kind = \"hours\"\nfrom = \"08:00\"\nuntil = \"18:00\"\nzone = \"Atlantis\"",
            "a time zone by its name",
        ),
        (
            "kind = \"hours\"\nfrom = \"08:00\"\nuntil = \"18:00\"\nzone = \"UTC\"\ndays = [\"Mon\"]",
            "allowed: mon",
        ),
    ] {
        let faults = read(&format!("[[watch.detector]]\n{entry}\n")).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|line| line.contains(says)), "{entry}: {told:?}");
    }
    let honey = read("[[watch.honey]]\nsealed = \"ada@x.example\"\n").unwrap_err();
    assert!(honey[0].to_string().contains("not sealed") && !honey[0].to_string().contains("ada"));
}

#[test]
fn limits_and_detectors_hold_something_against_their_users_for_a_time() {
    let read = |text: &str| super::super::load(&format!("{LEAST}{text}"), "f");
    let hour = 3_600_000;
    for (lines, restraint) in [
        ("action = \"lock\"\nlock = \"1h\"", Restraint::Lock),
        ("action = \"refuse\"\nrefuse = \"1h\"", Restraint::Refuse),
        ("action = \"purpose\"\npurpose = \"1h\"", Restraint::Purpose),
        ("action = \"throttle\"\nthrottle = \"1h\"", Restraint::Throttle { delay_ms: 1_000 }),
        ("action = \"throttle\"\nthrottle = \"1h\"\ndelay = \"3s\"", Restraint::Throttle { delay_ms: 3_000 }),
    ] {
        let text = format!(
            "[[watch.limit]]\ncells = 5\nwindow = \"1h\"\n{lines}\n[[watch.detector]]\nkind = \"errors\"\n{lines}\n"
        );
        let settings = read(&text).unwrap_or_else(|faults| panic!("{lines}: {faults:?}"));
        assert_eq!(settings.detectors[0].response, Response::Restrain { restraint, ms: hour });
        assert_eq!(settings.watch[0].action, LimitAction::Restrain { restraint, ms: hour });
        assert_eq!((settings.watch[0].by, settings.detectors[0].by), (By::User, By::User));
        let sealed = "SEALABCDEFGH0123456789abcdef";
        let honey = format!("[[watch.honey]]\nsealed = \"{sealed}\"\n{lines}\nby = \"end_user\"\n");
        let trap = Trap { action: LimitAction::Restrain { restraint, ms: hour }, by: By::EndUser };
        assert_eq!(read(&honey).unwrap().honey.unwrap().find(sealed.as_bytes()), Some(trap));
    }
    let by = "by = \"end_user\"\n";
    let text = format!(
        "[[watch.limit]]\ncells = 5\nwindow = \"1h\"\naction = \"cut\"\n{by}[[watch.detector]]\nkind = \"errors\"\n{by}"
    );
    let settings = read(&text).unwrap();
    assert_eq!((settings.watch[0].by, settings.detectors[0].by), (By::EndUser, By::EndUser));
    let faults = read(&format!("[[watch.detector]]\nkind = \"failed-logins\"\n{by}")).unwrap_err();
    assert!(faults[0].to_string().contains("failed-logins by end user"), "{faults:?}");
    let faults = read("[[watch.limit]]\ncells = 5\nwindow = \"1h\"\naction = \"lock\"\n").unwrap_err();
    assert!(faults[0].to_string().contains("lock is missing"), "{faults:?}");
}

#[test]
fn limits_that_would_take_too_much_memory_for_a_user_are_refused_with_the_number() {
    let of = |users: &str, window: &str| {
        format!("[[watch.limit]]\nsubjects = 2000\nwindow = \"{window}\"\naction = \"cut\"\n{users}")
    };
    let read = |text: String| super::super::load(&format!("{LEAST}{text}"), "f");
    let faults = read(of("", "1h") + &of("users = [\"ada\"]\n", "1d")).unwrap_err();
    let told = faults[0].to_string();
    assert!(told.contains("bytes for one user; at most 65536") && told.contains("f:10:"), "{told}");
    // Of the same length, or of others.
    assert!(read(of("", "1h") + &of("", "1h")).is_ok());
    assert!(read(of("users = [\"ada\"]\n", "1h") + &of("users = [\"bob\"]\n", "1d")).is_ok());
}
