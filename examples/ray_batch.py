"""Answer a file of requests on a Ray cluster: `python ray_batch.py IN.jsonl FOLDER`; again, it asks the rest.

The lines are those of the OpenAI Batch API. Each actor has a client of its own, from the AITOEARN_* of its machine.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import ray
from ray.data.datasource import BlockBasedFileDatasink

from aitoearn_openai import AsyncOpenAI
from aitoearn_openai.batch import Request, run

ACTORS = int(os.environ.get("ACTORS", "2"))
CONCURRENCY = int(os.environ.get("CONCURRENCY", "16"))  # of each actor
BLOCK = 64  # Requests in a block: what an actor that dies has to ask again.


class Asker:
    def __init__(self, answered):
        self.answered, self.loop, self.client = answered, asyncio.new_event_loop(), AsyncOpenAI()

    def __call__(self, rows):
        requests = [Request.from_dict(json.loads(line)) for line in rows["text"]]
        left = [request for request in requests if request.id not in self.answered]
        return {"line": self.loop.run_until_complete(self.ask(left))}

    async def ask(self, requests):
        results = run(self.client, requests, concurrency=CONCURRENCY)
        return [json.dumps(result.to_dict(), ensure_ascii=False) async for result in results]


class Lines(BlockBasedFileDatasink):
    """Results are written as they are: as columns, what one of them lacks would become null."""

    def write_block_to_file(self, block, file):
        for line in block.to_arrow()["line"].to_pylist():
            file.write(f"{line}\n".encode("utf-8", "backslashreplace"))


def answered_in(folder):
    """The ids of what is answered; what failed or was cut off leaves the folder, to be asked again."""
    ids = set()
    for path in folder.glob("*.jsonl"):
        kept = []
        for line in path.read_text("utf-8", "replace").splitlines(keepends=True):
            try:
                result = json.loads(line)
            except ValueError:
                continue
            if result["response"] and result["response"]["status_code"] == 200:
                ids.add(result["id"])
                kept.append(line)
        path.with_suffix(".new").write_text("".join(kept), "utf-8")
        path.with_suffix(".new").replace(path)
    return ids


def main(source, folder):
    folder.mkdir(parents=True, exist_ok=True)
    # As text, for the same reason as `Lines`.
    lines = ray.data.read_text(str(source)).repartition(target_num_rows_per_block=BLOCK)
    lines.map_batches(
        Asker,
        fn_constructor_args=[answered_in(folder)],
        batch_size=None,  # the whole block
        num_cpus=0,  # Actors wait for the network; the cores are for reading and writing.
        compute=ray.data.ActorPoolStrategy(size=ACTORS),
    ).write_datasink(Lines(str(folder), file_format="jsonl"))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
