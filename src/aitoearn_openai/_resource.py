"""`client.models`: the SDK's resource, with the list that the service keeps at a path of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import openai
from openai.pagination import AsyncPage, SyncPage
from openai.resources import models as sdk
from pydantic import PrivateAttr, ValidationError, field_validator

from . import _models
from ._models import ChatModel
from ._sdk import API_KEY_HEADER, FILL_IN_KEY, unexpected

if TYPE_CHECKING:
    from ._sdk.private import (
        AsyncPaginator,
        RequestOptions,
        async_to_raw_response_wrapper,
        async_to_streamed_response_wrapper,
        to_raw_response_wrapper,
        to_streamed_response_wrapper,
    )


MODEL_LIST_PATH = "/models/chat"


def _options(
    client: Any, headers: Any, query: Any, body: Any, timeout: Any, post_parser: Any = None
) -> RequestOptions:
    """The options of a request for a model list, from the arguments that the SDK's methods take."""
    headers = dict(headers or {})
    if API_KEY_HEADER.lower() not in {name.lower() for name in {**client.default_headers, **headers}}:
        headers[API_KEY_HEADER] = FILL_IN_KEY
    options = {"headers": headers, "params": query, "extra_json": body, "post_parser": post_parser}
    return {
        **{name: value for name, value in options.items() if value is not None},  # type: ignore[typeddict-item]
        **({} if isinstance(timeout, openai.NotGiven) else {"timeout": timeout}),
        "follow_redirects": False,  # httpx would take the key's second header along to another origin.
        "security": {"bearer_auth": True},
    }


class _Page(openai.BaseModel):
    """How both pages read the service's envelope."""

    data: list[ChatModel]
    object: str = "list"
    _response: Any = PrivateAttr()

    @field_validator("data", mode="before")
    @classmethod
    def _drop_nameless(cls, value: Any) -> Any:
        return _models.named(value)

    @classmethod
    def build(cls, *, response: Any, data: Any) -> _Page:
        """Called by the SDK in place of its own construction, which checks and converts nothing."""
        try:
            page = cls.model_validate(data)
        except ValidationError:
            raise unexpected(response, "a list of models", data) from None
        page._response = response
        return page

    def _repr_html_(self) -> str:
        """The models as a table, which notebooks show."""
        return _models.html_table(self.data)

    def find(self, wanted: str) -> ChatModel:
        """The model of that name or label.

        Raises:
            openai.NotFoundError: names the closest matches.
        """
        found = _models.find(self.data, wanted)
        if isinstance(found, ChatModel):
            return found
        closest = (
            f"The closest are {', '.join(found)}." if found else "`client.models.list()` has their names."
        )
        self._response.status_code = 404
        raise openai.NotFoundError(
            f"None of the {len(self.data)} models is named {wanted!r}. {closest}",
            response=self._response,
            body=None,
        )


def _finder(wanted: str) -> Any:
    return lambda page: page.find(wanted) if isinstance(page, _Page) else page


class _SyncModelPage(_Page, SyncPage[ChatModel]):
    pass


class _AsyncModelPage(_Page, AsyncPage[ChatModel]):
    pass


class Models(sdk.Models):
    """The chat models that the service offers, from `GET /api/ai/models/chat`."""

    if TYPE_CHECKING:
        with_raw_response: _RawModels  # type: ignore[assignment]
        with_streaming_response: _UnreadModels  # type: ignore[assignment]

    def list(  # type: ignore[override]  # SyncPage is invariant, though each ChatModel is a Model
        self,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> SyncPage[ChatModel]:
        """List the chat models, with what they take and give and what they cost. Costs no credits.

        Raises:
            openai.APIError: the service refused, could not be reached, or answered with something else.

        Example:
            >>> from aitoearn_openai import OpenAI, sandbox
            >>> with sandbox.serve() as site, OpenAI.from_settings(site.settings) as client:
            ...     [model.id for model in client.models.list() if "audio" in model.input_modalities]
            ['gemini-3.1-pro-preview']
        """
        return self._client.get_api_list(
            MODEL_LIST_PATH,
            page=_SyncModelPage,
            model=ChatModel,
            options=_options(self._client, extra_headers, extra_query, extra_body, timeout),
        )

    def retrieve(
        self,
        model: str,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> ChatModel:
        """The chat model of that name, or else of that label, ignoring case and spaces. Costs no credits.

        Raises:
            openai.NotFoundError: there is none; the message names the closest matches.
            openai.APIError: as `list` does.
            ValueError: `model` is empty.

        Example:
            >>> from aitoearn_openai import OpenAI, sandbox
            >>> with sandbox.serve() as site, OpenAI.from_settings(site.settings) as client:
            ...     client.models.retrieve("GLM 5.2").id
            'glm-5.2'
        """
        if not model:
            raise ValueError(f"Expected a non-empty value for `model` but received {model!r}")
        return self._client.get(
            MODEL_LIST_PATH,
            cast_to=cast("type[ChatModel]", _SyncModelPage),  # `post_parser` turns the page into a model.
            options=_options(
                self._client,
                extra_headers,
                extra_query,
                extra_body,
                timeout,
                post_parser=_finder(model),
            ),
        )


class AsyncModels(sdk.AsyncModels):
    """The chat models that the service offers, from `GET /api/ai/models/chat`."""

    if TYPE_CHECKING:
        with_raw_response: _AsyncRawModels  # type: ignore[assignment]
        with_streaming_response: _AsyncUnreadModels  # type: ignore[assignment]

    def list(  # type: ignore[override]  # AsyncPage is invariant, though each ChatModel is a Model
        self,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> AsyncPaginator[ChatModel, AsyncPage[ChatModel]]:
        """List the chat models, with what they take and give and what they cost. Costs no credits.

        Raises:
            openai.APIError: the service refused, could not be reached, or answered with something else.
        """
        return self._client.get_api_list(
            MODEL_LIST_PATH,
            page=_AsyncModelPage,
            model=ChatModel,
            options=_options(self._client, extra_headers, extra_query, extra_body, timeout),
        )

    async def retrieve(
        self,
        model: str,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> ChatModel:
        """The chat model of that name, or else of that label, ignoring case and spaces. Costs no credits.

        Raises:
            openai.NotFoundError: there is none; the message names the closest matches.
            openai.APIError: as `list` does.
            ValueError: `model` is empty.
        """
        if not model:
            raise ValueError(f"Expected a non-empty value for `model` but received {model!r}")
        return await self._client.get(
            MODEL_LIST_PATH,
            cast_to=cast("type[ChatModel]", _AsyncModelPage),  # `post_parser` turns the page into a model.
            options=_options(
                self._client,
                extra_headers,
                extra_query,
                extra_body,
                timeout,
                post_parser=_finder(model),
            ),
        )


if TYPE_CHECKING:
    # What the SDK makes of the methods above where a raw or an unread response is asked for.

    class _RawModels:
        def __init__(self, models: Models) -> None:
            self.list = to_raw_response_wrapper(models.list)
            self.retrieve = to_raw_response_wrapper(models.retrieve)
            self.delete = to_raw_response_wrapper(models.delete)

    class _AsyncRawModels:
        def __init__(self, models: AsyncModels) -> None:
            self.list = async_to_raw_response_wrapper(models.list)
            self.retrieve = async_to_raw_response_wrapper(models.retrieve)
            self.delete = async_to_raw_response_wrapper(models.delete)

    class _UnreadModels:
        def __init__(self, models: Models) -> None:
            self.list = to_streamed_response_wrapper(models.list)
            self.retrieve = to_streamed_response_wrapper(models.retrieve)
            self.delete = to_streamed_response_wrapper(models.delete)

    class _AsyncUnreadModels:
        def __init__(self, models: AsyncModels) -> None:
            self.list = async_to_streamed_response_wrapper(models.list)
            self.retrieve = async_to_streamed_response_wrapper(models.retrieve)
            self.delete = async_to_streamed_response_wrapper(models.delete)
