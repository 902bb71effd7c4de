"""A mail server for tests: stores accepted mails, and sends scripted replies.

    smtp_server.py '{"port": 20025, "folder": "…", "mode": "plain|starttls|tls", "certificate": …, "key": …, "login": [user, password]}'
    smtp_server.py parse FILE      prints a stored mail as JSON, read by Python's own mail parser

An accepted mail is a file `<n>.eml` and a line of `index.jsonl`. The server reads `control.json` before every reply. Its keys:
- `greeting`, `mail`, `rcpt`, `data` (before the content), `dot` (after it): the reply, such as "450 4.2.1 busy". The server closes
  the connection after a 421.
- `after_dot`: "hang" or "close": stores the mail without a reply; "hold": delays the reply until the value changes.
- `content`: "reset": resets the connection when the content begins.
- `once`: removes the file after the first scripted reply.
`rcpt` and `after_dot` followed by a space and a mail address apply to that mailbox only. A value that starts with `1x ` applies
once per server process.
"""

import asyncio
import email
import email.header
import email.policy
import hashlib
import json
import os
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult


class Store:
    """Stores accepted mails, and replies as the control file says."""

    def __init__(self, folder):
        self.folder = folder
        # A restarted server continues the numbers.
        self.count = sum(name.endswith(".eml") for name in os.listdir(folder))
        self.given = set()

    def control(self, key):
        try:
            with open(os.path.join(self.folder, "control.json"), encoding="utf-8") as file:
                value = json.load(file).get(key)
        except FileNotFoundError:
            return None
        if value and value.startswith("1x "):
            value = None if key in self.given else value[3:]
            self.given.add(key)
        return value

    async def scripted(self, server, key):
        reply = self.control(key)
        if reply and self.control("once"):
            os.unlink(os.path.join(self.folder, "control.json"))
        if reply and reply.startswith("421"):
            await server.push(reply)
            server.transport.close()
        return reply

    async def handle_MAIL(self, server, session, envelope, address, options):
        reply = await self.scripted(server, "mail")
        if reply:
            return reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = await self.scripted(server, "rcpt " + address) or await self.scripted(server, "rcpt")
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        reply = await self.scripted(server, "dot")
        if reply:
            return reply
        after_dot = self.control("after_dot " + envelope.rcpt_tos[0]) or self.control("after_dot")
        number = self.keep(envelope, after_dot)
        if after_dot == "close":
            server.transport.abort()
        elif after_dot == "hang":
            await asyncio.sleep(3600)
        while after_dot == "hold" and self.control("after_dot") == "hold":
            await asyncio.sleep(0.02)
        return f"250 OK queued as {number}"

    def keep(self, envelope, after_dot):
        self.count += 1
        name = f"{self.count}.eml"
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(envelope.content)
        message = email.message_from_bytes(envelope.content)
        line = {
            "time": time.time(),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "message_id": message["Message-ID"],
            "file": name,
            "replied": after_dot in (None, "hold"),
        }
        with open(os.path.join(self.folder, "index.jsonl"), "a", encoding="utf-8") as index:
            index.write(json.dumps(line) + "\n")
        return self.count


class Server(SMTP):
    """aiosmtpd's server, with the replies that its handlers cannot send."""

    async def push(self, status):
        if status.startswith("220 ") and "Ready to start TLS" not in status:
            status = self.event_handler.control("greeting") or status
        await super().push(status)

    async def smtp_DATA(self, arg):
        reply = await self.event_handler.scripted(self, "data")
        if reply:
            if not reply.startswith("421"):
                await self.push(reply)
            return
        if self.event_handler.control("content") == "reset":
            await self.push("354 continue")
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


def serve(options):
    context = None
    if options["mode"] != "plain":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certificate"], options["key"])
    starttls = options["mode"] == "starttls"

    def authenticate(server, session, envelope, mechanism, data):
        given = [data.login.decode(), data.password.decode()]
        # With `handled=False` the server replies: 235, or 535 after a failure.
        return AuthResult(success=given == options["login"], handled=False)

    store = Store(options["folder"])

    def protocol():
        return Server(
            store,
            hostname="mail.example.jp",
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_required=options["login"] is not None,
            auth_require_tls=starttls,
            authenticator=authenticate if options["login"] else None,
            timeout=3600,
        )

    async def run():
        loop = asyncio.get_running_loop()
        implicit = context if options["mode"] == "tls" else None
        server = await loop.create_server(protocol, "127.0.0.1", options["port"], ssl=implicit, backlog=512)
        print("ready", flush=True)
        await server.serve_forever()

    asyncio.run(run())


def headers(path):
    # Not with the default policy: in Python 3.11 it inserts a space into a long display name.
    with open(path, "rb") as file:
        message = email.message_from_binary_file(file)
    decoded = []
    for name, value in message.items():
        parts = email.header.decode_header(value.replace("\r", "").replace("\n", ""))
        decoded.append([name, "".join(part if isinstance(part, str) else part.decode(charset or "ascii") for part, charset in parts)])
    return decoded


def parse(path):
    with open(path, "rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    shape = [part.get_content_type() for part in message.walk()]
    text = message.get_body(("plain",))
    html = message.get_body(("html",))
    attachments = []
    for part in message.iter_attachments() if message.get_content_type() == "multipart/mixed" else []:
        content = part.get_content()
        content = content if isinstance(content, bytes) else content.encode()
        attachments.append({"name": part.get_filename(), "media_type": part.get_content_type(), "sha256": hashlib.sha256(content).hexdigest()})
    parsed = {
        "headers": headers(path),
        "shape": shape,
        "text": text.get_content() if text else None,
        "html": html.get_content() if html else None,
        "attachments": attachments,
        "defects": [repr(defect) for part in message.walk() for defect in part.defects],
    }
    json.dump(parsed, sys.stdout, ensure_ascii=True)


if sys.argv[1] == "parse":
    parse(sys.argv[2])
else:
    serve(json.loads(sys.argv[1]))
