"""A mail server that takes nothing without STARTTLS and a password, and prints what it took.

Arguments: port, certificate, key. One line of JSON for each message, "ready" before the first.
"""

import json
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Printing:
    async def handle_DATA(self, server, session, envelope):
        took = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": envelope.content.decode(),
            "tls": session.ssl is not None,
            "user": session.auth_data.login.decode(),
        }
        print(json.dumps(took), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    right = LoginPassword(b"gate", b"mail-secret")
    return AuthResult(success=mechanism == "PLAIN" and data == right, auth_data=data)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
controller = Controller(
    Printing(),
    hostname="127.0.0.1",
    port=int(sys.argv[1]),
    tls_context=context,
    require_starttls=True,
    auth_required=True,
    authenticator=authenticate,
)
controller.start()
print("ready", flush=True)
threading.Event().wait()
