"""A mail server that keeps what it gets: one file per mail, its port in a file, answers by recipient."""

import asyncio
import pathlib
import sys

from aiosmtpd.smtp import SMTP

folder = pathlib.Path(sys.argv[1])
count = 0
busy = {}


class Keeper:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("busy@"):
            busy[address] = busy.get(address, 0) + 1
            if busy[address] < 3:
                return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global count
        count += 1
        part = folder / f"{count:04}.part"
        part.write_bytes(b"X-Rcpt: " + ",".join(envelope.rcpt_tos).encode() + b"\r\n" + envelope.original_content)
        part.rename(folder / f"{count:04}.eml")
        return "250 kept"


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
