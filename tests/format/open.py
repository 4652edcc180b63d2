#!/usr/bin/env python3
"""Opens sealed values without Sealgate, after docs/FORMAT.md alone.

Needs the package `cryptography`. The master key (base64) is read from the environment
variable SEALGATE_MASTER_KEY.

    open.py KEYRING [--domain NAME [--schema SCHEMA]] [SEALED...]

opens each SEALED, or each line of standard input where none is given, and prints the value
as one line of JSON (a string). With --domain a value of another domain is refused. A domain
of a template must be named: by its own name (email@acme), or as the template
(email@{schema}) with the schema.

    open.py --vectors FOLDER

checks FOLDER/vectors.json against FOLDER/keyring.json, and against FOLDER/keyring-1.json, which is
of version 1 (no environment needed).

Exit: 0 all opened; 1 one did not (it is named by its number on standard error, the others
are printed); 2 the keyring or the master key cannot be used.
"""

import base64, hashlib, hmac, json, os, re, sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

ALPHABET = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
MODES = {"random": 1, "equality": 2}
TEMPLATE_END = "@{schema}"


class Refused(Exception):
    pass


def hkdf(key, info, length):
    extracted, block, output = hmac.digest(bytes(32), key, "sha256"), b"", b""
    while len(output) < length:
        block = hmac.digest(extracted, block + info.encode() + bytes([len(output) // 32 + 1]), "sha256")
        output += block
    return output[:length]


def xaes_open(key, nonce, sealed, associated):
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    doubled = int.from_bytes(aes.update(bytes(16)), "big") << 1
    k1 = doubled ^ (doubled >> 128) * (1 << 128 | 0x87)
    derived = b""
    for counter in (1, 2):
        message = bytes([0, counter, 0x58, 0]) + nonce[:12]
        derived += aes.update((int.from_bytes(message, "big") ^ k1).to_bytes(16, "big"))
    return AESGCM(derived).decrypt(nonce[12:], sealed, associated)


def encode(data):
    return base64.b64encode(data).decode().rstrip("=").translate(str.maketrans(STANDARD, ALPHABET))


def tag_of(name):
    return hashlib.sha256(b"sealgate domain/" + name.encode()).digest()[:6]


def domain_of(template, schema):
    name = template.removesuffix(TEMPLATE_END)
    if re.fullmatch(r"[A-Za-z0-9_.-]+", schema) and len(name) + 1 + len(schema) <= 63:
        return f"{name}@{schema}"
    return f"{name}@@" + encode(hashlib.sha256(b"sealgate schema/" + schema.encode()).digest()[:24])


def decode(text):
    if not set(text) <= set(ALPHABET) or len(text) % 4 == 1:
        raise Refused("not an envelope")
    data = base64.b64decode(text.translate(str.maketrans(ALPHABET, STANDARD)) + "=" * (-len(text) % 4))
    if encode(data) != text or data[:3] != bytes.fromhex("74f2d6"):
        raise Refused("not an envelope")
    return data


class Keyring:
    def __init__(self, text, master):
        file = json.loads(text)
        if file["format"] != "sealgate keyring" or file["version"] not in (1, 2):
            raise Refused("not a keyring of version 1 or 2")
        if (file["version"] == 2) != ("identity" in file):
            raise Refused("version 2 has an identity, version 1 has none")
        if file["master"] != hkdf(master, "sealgate/v1/keyring/id", 8).hex():
            raise Refused("wrapped under another master key")
        for part in (file, *file["roots"], *file["domains"]):
            texts = [value for key, value in part.items() if key != "format" and isinstance(value, str)]
            if any(text != "".join(text.split()) for text in texts):
                raise Refused("white space in a value")
        message = "sealgate keyring {version}\nmaster {master}\n".format(**file)
        message += "identity {identity}\n".format(**file) if "identity" in file else ""
        message += "created {created}\ncurrent {current}\n".format(**file)
        for root in file["roots"]:
            message += "root {version} {created} {wrapped}\n".format(**root)
        for domain in file["domains"]:
            domain = {"generation": "-", **domain}
            message += "domain {name} {mode} {type} {type_byte} {generation} {created}\n".format(**domain)
        key = hkdf(master, "sealgate/v1/keyring/integrity", 64)
        if not hmac.compare_digest(hmac.digest(key, message.encode(), "sha256"), base64.b64decode(file["integrity"])):
            raise Refused("the keyring was altered")
        self.roots, wrapping = {}, hkdf(master, "sealgate/v1/keyring/wrap", 32)
        for root in file["roots"]:
            wrapped, associated = base64.b64decode(root["wrapped"]), f"sealgate/v1/keyring/root/{root['version']}"
            self.roots[root["version"]] = xaes_open(wrapping, wrapped[:24], wrapped[24:], associated.encode())
        oldest = self.roots[min(self.roots)]
        self.identity = file.get("identity") or hkdf(oldest, "sealgate/v1/keyring/identity", 16).hex()
        self.domains = {domain["name"]: domain for domain in file["domains"]}

    def domain(self, tag, wanted):
        if wanted is None:
            named = [name for name in self.domains if not name.endswith(TEMPLATE_END) and tag_of(name) == tag]
            return self.domains[named[0]] if named else None
        template = wanted.partition("@")[0] + TEMPLATE_END
        domain = self.domains.get(wanted) or self.domains.get(template)
        return {**domain, "name": wanted} if domain is not None and tag_of(wanted) == tag else None

    def open(self, text, wanted=None):
        data = decode(text)
        header, body = data[:12], data[12:]
        domain = self.domain(header[3:9], wanted)
        if len(header) < 12 or domain is None:
            raise Refused("of another domain, or of a template's, which must be named")
        root = self.roots.get(int.from_bytes(header[10:12], "big"))
        if header[9] != MODES[domain["mode"]] or root is None:
            raise Refused("of another mode or an unknown key version")
        info, associated = f"sealgate/v1/{domain['mode']}/{domain['name']}", header + domain["name"].encode()
        try:
            if domain["mode"] == "random":
                plaintext = xaes_open(hkdf(root, info, 32), body[:24], body[24:], associated)
            else:
                plaintext = AESSIV(hkdf(root, info, 64)).decrypt(body, [associated])
        except (InvalidTag, ValueError):
            raise Refused("altered") from None
        if plaintext[:1] != bytes([domain["type_byte"]]):
            raise Refused("of another type")
        pad = int(domain["type"].partition("/")[2] or 1)
        text = plaintext[1:].rstrip(b"\0") if pad > 1 else plaintext[1:]
        if len(plaintext) != -(-(1 + len(text)) // pad) * pad:
            raise Refused("padded otherwise than its domain")
        return text.decode()


def vectors(folder):
    with open(os.path.join(folder, "vectors.json"), encoding="utf-8") as file:
        known = json.load(file)
    identities = {"keyring.json": "606162636465666768696a6b6c6d6e6f",
                  "keyring-1.json": "94cc437845bc96a42bb28d38051d9b9f"}
    for name, identity in identities.items():
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            keyring = Keyring(file.read(), base64.b64decode(known["master_key"]))
        assert keyring.identity == identity
        assert [key.hex() for key in keyring.roots.values()] == known["root_keys_hex"]
        for vector in known["values"]:
            assert decode(vector["sealed"]).hex() == vector["envelope_hex"]
            assert keyring.open(vector["sealed"], vector["domain"]) == vector["value"]
    print(f"{len(known['values'])} vectors hold")


def main(arguments):
    if arguments[:1] == ["--vectors"]:
        return vectors(arguments[1])
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(__doc__)
    path, sealed, wanted, failed = arguments[0], arguments[1:], None, False
    if sealed[:1] == ["--domain"]:
        wanted, sealed = sealed[1], sealed[2:]
    if sealed[:1] == ["--schema"]:
        wanted, sealed = domain_of(wanted, sealed[1]), sealed[2:]
    try:
        with open(path, encoding="utf-8") as file:
            keyring = Keyring(file.read(), base64.b64decode(os.environ["SEALGATE_MASTER_KEY"], validate=True))
    except (OSError, KeyError, ValueError, InvalidTag, Refused) as error:
        print(f"keyring {path}: {error!r}", file=sys.stderr)
        sys.exit(2)
    for number, text in enumerate(sealed or (line.rstrip("\n") for line in sys.stdin), 1):
        try:
            print(json.dumps(keyring.open(text, wanted), ensure_ascii=False))
        except Refused as error:
            print(f"value {number}: {error}", file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
