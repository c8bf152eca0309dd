"""Requests to one host on kept and on closing connections until standard input ends; then what came of them, as JSON.

A third of them are such as must not be sent twice.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

import aiohttp

WORKERS, PAUSE = 12, 0.02


async def main(url: str, host: str) -> None:
    stop = asyncio.Event()
    found: Counter[str] = Counter()
    when: list[str] = []

    async def work(number: int) -> None:
        method = "GET" if number % 3 else "POST"
        connector = aiohttp.TCPConnector(force_close=number % 2 == 0)
        async with aiohttp.ClientSession(connector=connector) as http:
            while not stop.is_set():
                try:
                    async with http.request(method, url, headers={"Host": host}) as reply:
                        await reply.read()
                        # The app of the Hello document refuses them, and so tells that they came to it.
                        what = "answered" if reply.status == (501 if method == "POST" else 200) else str(reply.status)
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    what = type(error).__name__
                found[what] += 1
                if what != "answered":
                    when.append(f"{time.strftime('%H:%M:%S')} {method} {what}")
                await asyncio.sleep(PAUSE)

    workers = [asyncio.ensure_future(work(number)) for number in range(WORKERS)]
    await asyncio.to_thread(sys.stdin.read)
    stop.set()
    await asyncio.gather(*workers)
    print(json.dumps({"found": found, "when": when[:50]}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
