"""Tables that runs write into the documentation: between their markers, in English and in Chinese."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
CHINESE = {
    # compatibility
    "library": "库",
    "version": "版本",
    # faults
    "plain SDK": "原版 SDK",
    "rows": "故障种类",
    "calls": "调用次数",
    "rows in which a failure was swallowed (a wrong value or an empty stream)": "失败被吞掉（得到错误的值或空的流）",
    "rows in which an exception other than `openai.OpenAIError` came out": "抛出了 `openai.OpenAIError` 以外的异常",
    "rows in which a call hung": "调用挂起",
    "rows in which a right answer was refused": "正确的回答被拒绝",
    "rows that left a connection behind": "留下未归还的连接",
    "rows after which the next good request failed": "之后的正常请求失败",
    # programs
    "program": "程序",
    "answer": "回答",
    "streamed": "流式",
    "models": "模型列表",
    "no credits": "积分不足",
    "key refused": "密钥被拒绝",
    "rate limit, retried": "请求过多，重试后成功",
    "failure in a stream": "流中途失败",
    "reasons with `--direct`": "`--direct` 时显示的原因",
    "openai 1.x, its command": "openai 1.x 的命令",
    "Node's openai": "Node 的 openai",
    "yes": "是",
    "yes, exit code 0": "是，退出码 0",
}


def in_chinese(cell: str) -> str:
    """A cell of a table in Chinese; numbers and names stay as they are."""
    return re.sub(r"^(\d+) of (\d+)$", r"\2 个中 \1 个", CHINESE.get(cell, cell))


def write_table(page: str, name: str, rows: list[list[str]]) -> None:
    """Put a table between its markers in both pages; `rows` has the head and the line below it."""
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    for folder, words in (DOCS, str), (DOCS / "zh-CN", in_chinese):
        path = folder / page
        before, _, rest = path.read_text("utf-8").partition(opening)
        after = rest.partition(closing)[2]
        lines = [f"| {' | '.join(map(words, row))} |" for row in rows]
        path.write_text("\n".join([f"{before}{opening}", *lines, f"{closing}{after}"]), "utf-8")
