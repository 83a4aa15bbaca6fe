"""A mail server that keeps what it gets: one file per mail, its port in a file, answers by recipient."""

import asyncio
import pathlib
import sys

from aiosmtpd.smtp import SMTP

folder = pathlib.Path(sys.argv[1])
count = 0
tries = {}


def first_two(address):
    tries[address] = tries.get(address, 0) + 1
    return tries[address] < 3


class Keeper:
    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.lower()
        if name.startswith("gone@"):
            return f"550 5.1.1 <{address}>: no such mailbox"
        if name.startswith("busy@") and first_two(name):
            return "451 4.3.0 try again later"
        if name.startswith("relay@") and first_two(name):
            return f"554 5.7.1 <{address}>: Relay access denied"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global count
        count += 1
        part = folder / f"{count:04}.part"
        part.write_bytes(b"X-Rcpt: " + ",".join(envelope.rcpt_tos).encode() + b"\r\n" + envelope.original_content)
        part.rename(folder / f"{count:04}.eml")
        first = envelope.rcpt_tos[0].lower()
        if first.startswith("slow@"):
            await asyncio.Event().wait()
        if first.startswith("lost@"):
            server.transport.abort()
        session.is_clinging = first.startswith("cling@")
        return "250 kept"

    async def handle_QUIT(self, server, session, envelope):
        if getattr(session, "is_clinging", False):
            await asyncio.Event().wait()
        return "221 Bye"


async def main():
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Keeper(), hostname="sink.example", enable_SMTPUTF8=True), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    part = folder / "port.part"
    part.write_text(str(port))
    part.rename(folder / "port")
    await server.serve_forever()


asyncio.run(main())
