"""A little application that trusts what it is given: it puts a parameter into its statement as it came, and shows
rows and errors to whoever asks. For attacks of tests alone, on the loopback address.

usage: vulnerable_shop.py HOST PORT USER LOG

Says on standard output where it listens. Each request becomes one statement on one connection, and one line in LOG:
when, the parameter, how many rows came, and the error's SQLSTATE."""

import html
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psycopg2

HOST, PORT, USER, LOG = sys.argv[1:]
# A test is no siege.
REQUESTS_MAX = 1500


class Shop(BaseHTTPRequestHandler):
    connection_to_server = None
    requests = 0
    one_at_a_time = threading.Lock()

    def log_message(self, *_):
        pass

    def asked(self, given):
        """Rows, the error's text and its SQLSTATE. A connection that has ended is made once more."""
        for _ in range(2):
            try:
                if Shop.connection_to_server is None:
                    Shop.connection_to_server = psycopg2.connect(
                        host=HOST, port=PORT, user=USER, dbname="postgres", application_name="shop", connect_timeout=5
                    )
                    Shop.connection_to_server.autocommit = True
                with Shop.connection_to_server.cursor() as cursor:
                    cursor.execute(f"SELECT id, city FROM customers WHERE id = {given} ORDER BY id")
                    return cursor.fetchall() if cursor.description else [], "", None
            except psycopg2.Error as error:
                state = error.pgcode
                if state is not None and not Shop.connection_to_server.closed:
                    return [], error.diag.message_primary or "", state
                Shop.connection_to_server = None
        return None, "", state

    def do_GET(self):
        given = parse_qs(urlsplit(self.path).query).get("id", ["1"])[0]
        # A client may open a connection and say nothing: it keeps nobody else waiting.
        with Shop.one_at_a_time:
            Shop.requests += 1
            at, rows, error, state = time.time(), None, "", None
            if Shop.requests <= REQUESTS_MAX:
                rows, error, state = self.asked(given)
            with open(LOG, "a", encoding="utf-8") as log:
                shown = None if rows is None else len(rows)
                log.write(json.dumps({"at": at, "id": given, "rows": shown, "sqlstate": state}) + "\n")
        cells = "".join(f"<tr><td>{html.escape(str(one))}</td><td>{html.escape(str(two))}</td></tr>" for one, two in rows or [])
        page = f"<html><body><h1>customers</h1><table>{cells}</table><pre>{html.escape(error)}</pre></body></html>".encode()
        self.send_response(503 if rows is None else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
print(server.server_port, flush=True)
server.serve_forever()
