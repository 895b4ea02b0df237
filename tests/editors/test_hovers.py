"""What editors show: pyright's language server, as Pylance is built on it, and jedi."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

jedi = pytest.importorskip("jedi")
lsprotocol = pytest.importorskip("lsprotocol.types")
pygls = pytest.importorskip("pygls.lsp.client")

# A line of a program; a name in it; what its text says, and an argument that its signature has.
HOVERS = [
    ("client = OpenAI()", "OpenAI", "`AITOEARN_*`", "max_retries"),
    ("client_async = AsyncOpenAI()", "AsyncOpenAI", "`AITOEARN_*`", "max_retries"),
    ("settings = Settings()", "Settings", "`.env` file", "http_backend"),
    ("OpenAI.from_settings(settings)", "from_settings", "such as for a second site", "max_retries"),
    ("AsyncOpenAI.from_settings(settings)", "from_settings", "such as for a second site", "max_retries"),
    ("client.models.list()", "list", "Costs no credits", "extra_query"),
    ("client_async.models.list()", "list", "Costs no credits", "extra_query"),
    ("client.models.retrieve('m')", "retrieve", "ignoring case and spaces", "extra_query"),
    ("def show(model: ChatModel) -> None: ...", "ChatModel", "GET /api/ai/models/chat", ""),
]
LINES = [line for line, *_ in HOVERS]
CODE = "\n".join(["from aitoearn_openai import AsyncOpenAI, ChatModel, OpenAI, Settings", *LINES])


async def pyright_hovers(path: Path) -> list[str]:
    client: Any = pygls.LanguageClient("tests", "1")

    @client.feature("workspace/configuration")  # type: ignore[untyped-decorator]
    def configuration(params: Any) -> list[dict[str, str]]:
        return [{"pythonPath": sys.executable} if item.section == "python" else {} for item in params.items]

    @client.feature("client/registerCapability")  # type: ignore[untyped-decorator]
    def register(_: Any) -> None:
        pass

    await client.start_io("pyright-langserver", "--stdio")
    workspace = lsprotocol.WorkspaceClientCapabilities(configuration=True)
    await client.initialize_async(
        lsprotocol.InitializeParams(
            capabilities=lsprotocol.ClientCapabilities(workspace=workspace),
            workspace_folders=[lsprotocol.WorkspaceFolder(path.parent.as_uri(), "tests")],
        )
    )
    client.initialized(lsprotocol.InitializedParams())
    document = lsprotocol.TextDocumentItem(path.as_uri(), "python", 1, CODE)
    client.text_document_did_open(lsprotocol.DidOpenTextDocumentParams(document))
    hovers = []
    for number, (line, name, *_) in enumerate(HOVERS, 1):
        where = lsprotocol.Position(number, line.index(name))
        asked = lsprotocol.HoverParams(lsprotocol.TextDocumentIdentifier(path.as_uri()), where)
        hovers.append((await client.text_document_hover_async(asked)).contents.value)
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    return hovers


@pytest.fixture(scope="module")
def pyright(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("editor") / "program.py"
    path.write_text(CODE, "utf-8")
    return asyncio.run(pyright_hovers(path))


def jedi_hover(number: int, name: str) -> str:
    # Not this process: pytest imports in a way of its own.
    environment = jedi.create_environment(sys.prefix, safe=False)
    (shown,) = jedi.Script(CODE, environment=environment).help(number + 2, LINES[number].index(name))
    return str(shown.docstring())


@pytest.mark.parametrize("number", range(len(HOVERS)), ids=LINES)
def test_an_editor_shows_our_text_with_the_arguments_of_the_sdk(number: int, pyright: list[str]) -> None:
    """And nothing of what is not read here; so does Pylance, which is made of pyright, and Jupyter, which asks jedi."""
    _, name, text, argument = HOVERS[number]
    for shown in (pyright[number], jedi_hover(number, name)):
        assert text in shown
        assert argument in shown
        assert "OPENAI_API_KEY" not in shown
