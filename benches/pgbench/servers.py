"""The servers that a benchmark run starts for itself: PostgreSQL, PgBouncer and Sealgate.

Each listens on a free port of 127.0.0.1, keeps everything under the run's own folder, and is ended
by its process id when the `with` block that holds it is left, however that happens.
"""

import base64
import glob
import http.client
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
DATABASE = "bench"
SERVICE_USER = "sealgate"

# How a client and each hop behind it talk, and how the client proves who it is. Under TLS both
# hops are, and the login is SCRAM: a login that is passed through cannot be bound to two channels.
PLAIN, TLS = "plain", "tls"
TRUST, SCRAM = "trust", "scram"
USERS = {TRUST: "bench", SCRAM: "bench_scram"}
USER = USERS[TRUST]


SESSIONS_MAX = 1200  # of the server; the proxies are given as many


class BenchError(Exception):
    """What ends a run, in words for the person who started it."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def postgres_bin():
    """The folder of the newest server binaries: the distribution's first, as the tests do it."""
    places = [value for key, value in os.environ.items() if key.startswith("SEALGATE_PG") and key.endswith("_BIN")]
    for pattern in ("/usr/lib/postgresql/*/bin", "target/pg/*/bin"):
        places += sorted(glob.glob(pattern), key=_major, reverse=True)
    for place in places:
        if all(os.access(os.path.join(place, name), os.X_OK) for name in ("postgres", "initdb", "psql", "pgbench")):
            return os.path.realpath(place)
    raise BenchError("no PostgreSQL server binaries found; run .ci/setup bench")


def _major(path):
    digits = os.path.basename(os.path.dirname(path))
    return int(digits) if digits.isdigit() else 0


def unprivileged_user():
    """The account for servers that refuse to run as root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise BenchError("run as root, and there is neither a user postgres nor nobody to run the servers as")


class Process:
    """A child in its own process group, its output in a file, ended on leaving the `with` block."""

    stop_signal = signal.SIGTERM

    def __init__(self, name, folder, user=None):
        self.name = name
        self.folder = os.path.join(folder, name)
        os.mkdir(self.folder, 0o755)
        self.user = user
        self.log = os.path.join(self.folder, "log")
        self.child = None
        self.port = free_port()
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    @property
    def pid(self):
        return self.child.pid

    def __enter__(self):
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def prepare(self):
        pass

    def as_user(self):
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def run_once(self, command, **options):
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=START_SECONDS_MAX * 5, **self.as_user(), **options,
        )
        if done.returncode != 0:
            raise BenchError(f"{' '.join(command[:3])} failed with {done.returncode}:\n{done.stdout[-2000:]}")
        return done.stdout

    def spawn(self, command, environment=None):
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, start_new_session=True, **self.as_user(),
            )

    def wait_until(self, what, condition):
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise BenchError(f"{self.name} ended with {self.child.returncode} before it was {what}:\n{self.tail()}")
            if condition():
                return
            time.sleep(0.05)
        raise BenchError(f"{self.name} was not {what} within {START_SECONDS_MAX} s:\n{self.tail()}")

    def accepts(self):
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def tail(self):
        try:
            with open(self.log, errors="replace") as log:
                return log.read()[-2000:]
        except OSError:
            return ""

    def stop(self):
        if not self.child or self.child.poll() is not None:
            return
        self.child.send_signal(self.stop_signal)
        try:
            self.child.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(STOP_SECONDS_MAX)


class Certificates(Process):
    """An authority and one certificate for 127.0.0.1, which every server of the run presents."""

    def __init__(self, folder):
        super().__init__("certificates", folder, unprivileged_user())
        self.ca, self.certificate, self.key = (os.path.join(self.folder, name) for name in ("ca.crt", "server.crt", "server.key"))

    def start(self):
        ca_key, request, names = (os.path.join(self.folder, name) for name in ("ca.key", "server.csr", "names"))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self.run_once(["openssl", "req", "-x509", *curve, "-keyout", ca_key, "-out", self.ca, "-days", "2",
                       "-subj", "/CN=benchmark authority", "-addext", "keyUsage=critical,keyCertSign"])
        self.run_once(["openssl", "req", *curve, "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1"])
        with open(names, "w") as out:
            out.write("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
        self.run_once(["openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial",
                       "-days", "2", "-extfile", names, "-out", self.certificate])

    def stop(self):
        pass


class Postgres(Process):
    """A throwaway cluster on a port of its own, that no disk write slows down.

    One of its users logs in by trust, the other by SCRAM-SHA-256; both with and without TLS.
    """

    stop_signal = signal.SIGINT  # fast shutdown

    def __init__(self, folder, certificates):
        super().__init__("postgres", folder, unprivileged_user())
        self.bin = postgres_bin()
        self.data = os.path.join(self.folder, "data")
        self.certificates = certificates
        self.password = secrets.token_hex(16)
        self.verifier = ""
        self.version = ""

    def prepare(self):
        self.run_once([
            os.path.join(self.bin, "initdb"), "--pgdata", self.data, "--username", "postgres",
            "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync",
        ])
        with open(os.path.join(self.data, "pg_hba.conf"), "w") as out:
            out.write(f"host all {USERS[SCRAM]} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")

    def start(self):
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "",
            "max_connections": SESSIONS_MAX, "shared_buffers": "256MB", "fsync": "off", "autovacuum": "off",
            "jit": "off", "max_wal_size": "2GB", "password_encryption": "scram-sha-256",
        }
        if self.certificates:
            settings |= {"ssl": "on", "ssl_cert_file": self.certificates.certificate, "ssl_key_file": self.certificates.key}
        command = [os.path.join(self.bin, "postgres"), "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.spawn(command)
        self.wait_until("ready", lambda: self.answers())
        self.sql(f"CREATE ROLE {USER} LOGIN; CREATE ROLE {SERVICE_USER} LOGIN SUPERUSER", database="postgres")
        self.sql(f"CREATE ROLE {USERS[SCRAM]} LOGIN IN ROLE {USER} PASSWORD '{self.password}'", database="postgres")
        self.sql(f"CREATE DATABASE {DATABASE} OWNER {USER}", database="postgres")
        self.verifier = self.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{USERS[SCRAM]}'", database="postgres").strip()
        self.version = self.sql("SHOW server_version", database="postgres").strip()

    def answers(self):
        probe = subprocess.run(
            [os.path.join(self.bin, "psql"), *self.address("postgres", "postgres"), "-qAtc", "SELECT 1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        return probe.returncode == 0

    def address(self, user, database, port=None):
        return ["-h", "127.0.0.1", "-p", str(port or self.port), "-U", user, "-d", database]

    def sql(self, text, user="postgres", database=DATABASE, target=None):
        """Runs `text` with psql, as a client of `target` where one is given, and returns the rows."""
        port, environment = self.port, None
        if target:
            user, port, environment = USERS[target.login], target.port, target.environment()
        done = subprocess.run(
            [os.path.join(self.bin, "psql"), *self.address(user, database, port), "-XqAt", "-v", "ON_ERROR_STOP=1"],
            input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=START_SECONDS_MAX * 5,
            env=environment,
        )
        if done.returncode != 0:
            raise BenchError(f"psql at port {port}: {done.stderr[-2000:]}")
        return done.stdout


class PgBouncer(Process):
    """PgBouncer as Sealgate is used: one client session is one server session, no pool kept warm.

    With `pooled` it hands a server session to the next client when one has left, as it is often
    used; only connect rates tell the two apart. SCRAM: `auth_file` holds the server's own verifier,
    and PgBouncer logs in with the client key that the client's login gave away.
    """

    def __init__(self, name, folder, postgres, channel, login, pooled=False):
        super().__init__(name, folder, unprivileged_user())
        self.postgres = postgres
        self.channel = channel
        self.login = login
        self.pooled = pooled
        self.binary = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        if not os.access(self.binary, os.X_OK):
            raise BenchError("no pgbouncer found; run .ci/setup bench")
        self.version = subprocess.run([self.binary, "--version"], stdout=subprocess.PIPE, text=True).stdout.split("\n")[0]

    def prepare(self):
        users = os.path.join(self.folder, "users.txt")
        with open(users, "w") as out:
            out.write(f'"{USERS[self.login]}" "{self.postgres.verifier if self.login == SCRAM else ""}"\n')
        self.configuration = os.path.join(self.folder, "pgbouncer.ini")
        with open(self.configuration, "w") as out:
            out.write(f"""[databases]
{DATABASE} = host=127.0.0.1 port={self.postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = {"scram-sha-256" if self.login == SCRAM else "trust"}
auth_file = {users}
pool_mode = session
default_pool_size = {SESSIONS_MAX}
max_client_conn = {SESSIONS_MAX}
server_idle_timeout = 1
{"" if self.pooled else "server_lifetime = 0"}
log_connections = 0
log_disconnections = 0
log_stats = 0
""")
            if self.channel == TLS:
                certificates = self.postgres.certificates
                out.write(f"""client_tls_sslmode = require
client_tls_cert_file = {certificates.certificate}
client_tls_key_file = {certificates.key}
server_tls_sslmode = verify-full
server_tls_ca_file = {certificates.ca}
""")

    def start(self):
        self.spawn([self.binary, self.configuration])
        self.wait_until("listening", self.accepts)


class Keys:
    """Where the keyring lies, and the master key over it: the same for every Sealgate of the run."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "keyring.json")
        self.master = base64.b64encode(secrets.token_bytes(32)).decode()


class Sealgate(Process):
    """`sealgate run` with the given fields classified; none leaves the untouched path alone.

    `login` says what Sealgate does: `relay` passes the server's own exchange through, `scram` ends
    the client's and begins one of its own.
    """

    def __init__(self, name, folder, postgres, binary, channel, login, keys, fields=(), level=""):
        super().__init__(name, folder)
        self.level = level
        self.postgres = postgres
        self.binary = binary
        self.channel = channel
        self.login = login
        self.keys = keys
        self.fields = fields
        self.admin_port = free_port()
        self.configuration = os.path.join(self.folder, "sealgate.toml")
        self.environment = dict(os.environ)
        self.environment["SEALGATE_MASTER_KEY"] = keys.master
        self.environment["SEALGATE_SERVICE_PASSWORD"] = secrets.token_hex(16)

    def prepare(self):
        with open(self.configuration, "w") as out:
            out.write(self.settings())
        if self.fields:
            self.run_once([self.binary, "keys", "init", "--config", self.configuration], env=self.environment)

    def settings(self):
        listen_tls = upstream_tls = ""
        if self.channel == TLS:
            certificates = self.postgres.certificates
            # A key must belong to whoever runs the program.
            key = shutil.copy(certificates.key, os.path.join(self.folder, "server.key"))
            listen_tls = (f"tls = {{ certificate = {json.dumps(certificates.certificate)}, "
                          f'key = {json.dumps(key)}, mode = "require" }}')
            upstream_tls = f'tls = {{ mode = "verify-full", ca = {json.dumps(certificates.ca)} }}'
        text = f"""[listen]
address = "127.0.0.1:{self.port}"
{listen_tls}

[upstream]
hosts = ["127.0.0.1:{self.postgres.port}"]
service_user = "{SERVICE_USER}"
service_password = {{ env = "SEALGATE_SERVICE_PASSWORD" }}
{upstream_tls}

[login]
auth = "{self.login}"

[admin]
address = "127.0.0.1:{self.admin_port}"
"""
        if not self.fields:
            return text
        text += f"""
[keys]
provider = "file"
path = {json.dumps(self.keys.path)}
master_key = {{ env = "SEALGATE_MASTER_KEY" }}

[audit]
path = {json.dumps(os.path.join(self.folder, "audit"))}
{self.level}
"""
        for table, column, seal in self.fields:
            text += f"""
[[field]]
database = "{DATABASE}"
table = "public.{table}"
column = "{column}"
class = "contact"
type = "text"
seal = "{seal}"
domain = "{table}_{column}"
state = "sealed"
"""
        return text

    def start(self):
        self.spawn([self.binary, "run", "--config", self.configuration], self.environment)
        self.wait_until("ready", self.ready)

    def ready(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
