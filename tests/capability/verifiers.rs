//! Login `scram` against real servers: their verifiers are found, or the lack of them is;
//! and a real client logs in through both state machines at once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use sealgate::login::Claim;
use sealgate::login::scram::{
    Challenge, ExpectInitial, Fault, ITERATIONS_DEFAULT, Initial, MockSecret, Nonce, Step, Upstream, Verifier,
};
use sealgate::store::postgres::{Authentication, Options, Throwaway};
use sealgate::upstream::service::{Access, ServiceAccount};
use sealgate::upstream::verifiers::{AUTH_QUERY_DEFAULT, Answer, VerifierError, VerifierSource, Verifiers};
use sealgate::wire::{Peek, peek, startup};

use crate::harness::VERSIONS;

const USERS: &str = "
    CREATE ROLE sealgate LOGIN PASSWORD 'gate';
    CREATE ROLE ada LOGIN PASSWORD 'pencil';
    CREATE ROLE future LOGIN PASSWORD 'pencil' VALID UNTIL '2999-01-01';
    CREATE ROLE forever LOGIN PASSWORD 'pencil' VALID UNTIL 'infinity';
    CREATE ROLE expired LOGIN PASSWORD 'pencil' VALID UNTIL '2001-01-01';
    CREATE ROLE without LOGIN;
    CREATE ROLE nobody NOLOGIN PASSWORD 'pencil';
    SET password_encryption = 'md5';
    CREATE ROLE old LOGIN PASSWORD 'pencil'";

/// As the documentation tells an operator.
const GRANT: &str =
    "GRANT SELECT (rolname, rolpassword, rolvaliduntil, rolcanlogin) ON pg_catalog.pg_authid TO sealgate";
const FUNCTION: &str = "
    CREATE SCHEMA sealgate;
    CREATE FUNCTION sealgate.verifier(login name) RETURNS text
        LANGUAGE sql STABLE STRICT SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp
        AS $$ SELECT CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END
              FROM pg_catalog.pg_authid
              WHERE rolname = login AND rolcanlogin AND NOT rolsuper AND NOT rolreplication $$;
    REVOKE ALL ON FUNCTION sealgate.verifier(name) FROM PUBLIC;
    GRANT USAGE ON SCHEMA sealgate TO sealgate;
    GRANT EXECUTE ON FUNCTION sealgate.verifier(name) TO sealgate";

fn server(major: u32) -> Throwaway {
    let options = Options { major: Some(major), authentication: Authentication::Scram, ..Options::default() };
    let server = Throwaway::start(&options).unwrap();
    server.execute("postgres", USERS).unwrap();
    server
}

fn source(server: &Throwaway, query: &str) -> VerifierSource {
    source_as(server.address(), "gate", query)
}

fn source_as(address: SocketAddr, password: &str, query: &str) -> VerifierSource {
    let account = ServiceAccount { user: "sealgate".to_owned(), password: Some(password.to_owned().into()) };
    VerifierSource { access: Arc::new(Access::plain(address, account)), query: query.to_owned() }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Every answer for these users over one set of connections.
fn ask(source: VerifierSource, users: &[&str]) -> Vec<Result<Answer, VerifierError>> {
    block_on(async {
        let verifiers = Verifiers::new(source, tokio::runtime::Handle::current());
        let mut answers = Vec::new();
        for user in users {
            answers.push(verifiers.ask(user.as_bytes()).await);
        }
        answers
    })
}

fn found(answers: Vec<Result<Answer, VerifierError>>) -> Vec<bool> {
    answers.into_iter().map(|answer| answer.unwrap().verifier.is_some()).collect()
}

fn error(source: VerifierSource, user: &str) -> VerifierError {
    ask(source, &[user]).remove(0).err().unwrap()
}

#[test]
fn only_a_user_who_may_log_in_by_scram_has_a_verifier() {
    for major in VERSIONS {
        let server = server(major);
        server.execute("postgres", GRANT).unwrap();
        let users = ["ada", "future", "forever", "expired", "without", "nobody", "old", "unknown", "a'b\"c"];
        let expected = [true, true, true, false, false, false, false, false, false];
        assert_eq!(found(ask(source(&server, AUTH_QUERY_DEFAULT), &users)), expected, "{major}");
    }
}

#[test]
fn a_function_of_the_operators_own_is_enough() {
    for major in VERSIONS {
        let server = server(major);
        server.execute("postgres", FUNCTION).unwrap();
        let source = source(&server, "SELECT sealgate.verifier($1);");
        assert_eq!(found(ask(source, &["ada", "postgres", "expired", "old"])), [true, false, false, false]);
    }
}

#[test]
fn a_missing_right_is_named_and_nothing_of_the_inside_is_told() {
    for major in VERSIONS {
        let server = server(major);
        let denied = error(source(&server, AUTH_QUERY_DEFAULT), "ada");
        assert_eq!(denied.sqlstate(), "28000");
        let text = denied.to_string();
        assert!(text.contains("42501") && text.contains("grant the service account SELECT on"), "{text}");
        assert!(!denied.client_message().contains("pg_authid"));
    }
}

#[test]
fn a_query_that_does_not_fit_is_an_error_and_quotes_no_verifier() {
    let server = server(18);
    server.execute("postgres", GRANT).unwrap();
    for (query, text) in [
        ("SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1", "more than one column"),
        ("SELECT rolpassword FROM pg_catalog.pg_authid WHERE $1 <> ''", "more than one row"),
        ("SELECT 1 WHERE $1 <> ''", "not of type text"),
        ("SELECT nonsense($1)", "42883"),
        ("SELECT rolpassword::int::text FROM pg_catalog.pg_authid WHERE rolname = $1", "22P02"),
    ] {
        let error = error(source(&server, query), "ada");
        assert!(error.to_string().contains(text), "{query}: {error}");
        assert!(!format!("{error} {error:?}").contains("SCRAM-SHA-256$"), "{error}");
    }
}

#[test]
fn an_unreachable_server_is_08006_and_a_refused_account_28000() {
    let server = server(18);
    let wrong = source_as(server.address(), "other", AUTH_QUERY_DEFAULT);
    assert_eq!(error(wrong, "ada").sqlstate(), "28000");
    let nowhere = source_as("127.0.0.1:1".parse().unwrap(), "gate", AUTH_QUERY_DEFAULT);
    assert_eq!(error(nowhere, "ada").sqlstate(), "08006");
}

#[test]
fn a_connection_that_was_cut_is_replaced() {
    for major in VERSIONS {
        let first = server(major);
        first.execute("postgres", GRANT).unwrap();
        let source = source(&first, AUTH_QUERY_DEFAULT);
        block_on(async {
            let verifiers = Verifiers::new(source, tokio::runtime::Handle::current());
            for _ in 0..3 {
                assert!(verifiers.ask(b"ada").await.unwrap().verifier.is_some());
                let cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                           WHERE application_name = 'sealgate'";
                assert_eq!(first.query("postgres", cut).unwrap().len(), 1, "one connection is shared");
            }
        });
    }
}

#[test]
fn many_questions_share_one_connection_and_askers_may_leave() {
    let server = server(18);
    server.execute("postgres", GRANT).unwrap();
    block_on(async {
        let verifiers =
            Verifiers::new(source(&server, AUTH_QUERY_DEFAULT), tokio::runtime::Handle::current());
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..600 {
            let verifiers = verifiers.clone();
            let task = tasks.spawn(async move { verifiers.ask(b"ada").await.map(|a| a.verifier.is_some()) });
            if number % 3 == 0 {
                task.abort();
            }
        }
        let mut answered = 0;
        while let Some(task) = tasks.join_next().await {
            answered += usize::from(task.is_ok_and(|answer| answer == Ok(true)));
        }
        assert_eq!(answered, 400);
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sealgate'";
        assert_eq!(server.query("postgres", count).unwrap()[0][0].as_deref(), Some("1"));
    });
}

#[test]
fn what_a_user_puts_into_the_path_has_no_effect() {
    for major in VERSIONS {
        let server = server(major);
        server.execute("postgres", GRANT).unwrap();
        let trap = "
            CREATE TABLE public.pg_authid (rolname name, rolpassword text, rolvaliduntil timestamptz, rolcanlogin bool);
            INSERT INTO public.pg_authid VALUES ('unknown', (SELECT rolpassword FROM pg_catalog.pg_authid
                                                             WHERE rolname = 'ada'), NULL, true);
            GRANT SELECT ON public.pg_authid TO PUBLIC;
            CREATE FUNCTION public.yes(name, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
            CREATE OPERATOR public.= (leftarg = name, rightarg = text, function = public.yes);
            CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '1990-01-01'::timestamptz $$;
            ALTER ROLE sealgate SET search_path = public, pg_catalog;
            ALTER DATABASE postgres SET search_path = public, pg_catalog";
        server.execute("postgres", trap).unwrap();
        let answers = ask(source(&server, AUTH_QUERY_DEFAULT), &["ada", "unknown", "expired", "without"]);
        assert_eq!(found(answers), [true, false, false, false], "{major}");
    }
}

#[test]
fn mock_exchanges_have_the_servers_iterations() {
    for (major, expected) in [(15, ITERATIONS_DEFAULT), (18, 5000)] {
        let server = server(major);
        server.execute("postgres", GRANT).unwrap();
        if major >= 16 {
            server.execute("postgres", "ALTER SYSTEM SET scram_iterations = 5000").unwrap();
            server.execute("postgres", "SELECT pg_reload_conf()").unwrap();
        }
        let shown = || {
            let shown = server.query("postgres", "SELECT current_setting('scram_iterations', true)").unwrap();
            shown[0][0].clone()
        };
        let set = (major >= 16).then(|| expected.to_string());
        crate::harness::await_that("the setting", || shown() == set);
        let answers = ask(source(&server, AUTH_QUERY_DEFAULT), &["unknown"]);
        assert_eq!(answers[0].as_ref().map(|answer| answer.iterations).ok(), Some(expected));
    }
}

/// Reads one frame.
fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 5];
    stream.read_exact(&mut bytes).unwrap();
    let len = match peek(&bytes) {
        Ok(Peek::Whole(frame)) => frame.len(),
        Ok(Peek::Partial { len, .. }) => len,
        Ok(Peek::Nothing) | Err(_) => panic!("a frame"),
    };
    bytes.resize(len, 0);
    stream.read_exact(&mut bytes[5..]).unwrap();
    bytes
}

fn whole(bytes: &[u8]) -> sealgate::wire::Frame<'_> {
    let Ok(Peek::Whole(frame)) = peek(bytes) else { panic!("a whole frame") };
    frame
}

/// The smallest gate there can be: one login through both machines, then bytes both ways
/// until the client leaves. Returns the fault that the client was answered with.
fn serve(listener: &TcpListener, server: SocketAddr, verifier: Option<Verifier>) -> Result<(), Fault> {
    let (mut client, _) = listener.accept().unwrap();
    let mut first = [0; 4];
    client.read_exact(&mut first).unwrap();
    let mut packet = first.to_vec();
    packet.resize(u32::from_be_bytes(first) as usize, 0);
    client.read_exact(&mut packet[4..]).unwrap();
    let Ok(startup::Request::Start(start)) = startup::read(&packet) else { panic!("a startup") };
    let claim = Claim::new(&start, "::1".into(), "".into(), 1);
    let mut out = Vec::new();
    let expect = ExpectInitial::offer(claim, None, &mut out);
    client.write_all(&out).unwrap();
    out.clear();
    let Initial::Read(ready) = expect.initial(whole(&receive(&mut client)), &mut out)? else {
        panic!("read")
    };
    let mock = MockSecret::new([1; 32]);
    let challenge =
        Challenge { verifier, mock: &mock, mock_iterations: 4096, nonce: Nonce::new(rand::random()) };
    let expect = ready.challenge(challenge, &mut out);
    client.write_all(&out).unwrap();
    let proven = expect.finish(whole(&receive(&mut client)))?;
    let mut upstream = TcpStream::connect(server).unwrap();
    upstream.write_all(&startup::compose(&start)).unwrap();
    let mut login = Upstream::new(std::rc::Rc::new(proven.keys), None, Nonce::new(rand::random()));
    let accepted = loop {
        let frame = receive(&mut upstream);
        let mut out = Vec::new();
        match login.take(whole(&frame), &mut out) {
            Ok(Step::Continue(next) | Step::Notice(next)) => login = next,
            Ok(Step::Accepted) => break frame,
            Ok(Step::Refused) => panic!("{}", frame.escape_ascii()),
            Err(fault) => panic!("{fault}"),
        }
        upstream.write_all(&out).unwrap();
    };
    client.write_all(&[proven.final_message, accepted].concat()).unwrap();
    let (mut from, mut to) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
    let down = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let _ = std::io::copy(&mut client, &mut upstream);
    let _ = upstream.shutdown(std::net::Shutdown::Write);
    let _ = down.join();
    Ok(())
}

#[test]
fn a_real_client_logs_in_at_a_real_server_without_its_password_being_known() {
    for major in VERSIONS {
        let server = server(major);
        server.execute("postgres", GRANT).unwrap();
        for (user, password, fits) in
            [("ada", "pencil", true), ("ada", "Pencil", false), ("old", "pencil", false)]
        {
            let verifier = ask(source(&server, AUTH_QUERY_DEFAULT), &[user]).remove(0).unwrap().verifier;
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (port, address) = (listener.local_addr().unwrap().port(), server.address());
            let gate = std::thread::spawn(move || serve(&listener, address, verifier));
            let who = block_on(async {
                let mut config = tokio_postgres::Config::new();
                config.host("127.0.0.1").port(port).user(user).password(password).dbname("postgres");
                let (client, connection) = config.connect(tokio_postgres::NoTls).await.ok()?;
                let driver = tokio::spawn(connection);
                let row = client.query_one("SELECT session_user::text", &[]).await.unwrap();
                drop(client);
                driver.await.unwrap().unwrap();
                Some(row.get::<_, String>(0))
            });
            let served = gate.join().unwrap();
            assert_eq!(who.as_deref(), fits.then_some(user));
            assert_eq!(served.err().map(|fault| fault.sqlstate), (!fits).then_some("28P01"));
        }
    }
}
