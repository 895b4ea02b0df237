"""`client.models`: the SDK's resource, with the lists that the service keeps at paths of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import openai
from openai.pagination import AsyncPage, SyncPage
from openai.resources import models as sdk
from pydantic import PrivateAttr
from typing_extensions import Self

from . import _models
from ._hints import LISTS, closest
from ._models import ChatModel, ImageModel, ListedModel
from ._sdk.exceptions import unexpected

if TYPE_CHECKING:
    from ._sdk.private import (
        AsyncPaginator,
        RequestOptions,
        async_to_raw_response_wrapper,
        async_to_streamed_response_wrapper,
        to_raw_response_wrapper,
        to_streamed_response_wrapper,
    )

_Model = TypeVar("_Model", bound=ListedModel)


def _options(headers: Any, query: Any, body: Any, timeout: Any, post_parser: Any = None) -> RequestOptions:
    """The options of a request for a model list, from the arguments that the SDK's methods take."""
    options = {"headers": headers, "params": query, "extra_json": body, "post_parser": post_parser}
    return {
        **{name: value for name, value in options.items() if value is not None},  # type: ignore[typeddict-item]
        **({} if isinstance(timeout, openai.NotGiven) else {"timeout": timeout}),
        "follow_redirects": False,  # httpx would take the key's second header along to another origin.
        "security": {"bearer_auth": True},
    }


class _Page(openai.BaseModel, Generic[_Model]):
    """How all pages read the service's envelope."""

    model_class: ClassVar[Any]

    data: list[_Model]
    object: str = "list"
    _response: Any = PrivateAttr()

    @classmethod
    def from_answer(cls, client: Any, response: Any, data: Any) -> Self:
        """Made in place of the SDK's own construction, which checks and converts nothing."""
        entries = data.get("data") if isinstance(data, dict) else None
        if not isinstance(entries, list):
            raise unexpected(response, "a list of models", data)
        page = cls.construct(**{**data, "data": _models.read(cls.model_class, entries)})
        page._response = response
        if not response.url.query:
            client._known_models[page._path] = page.data
        return page

    @property
    def _path(self) -> str:
        return next(path for path in LISTS if self._response.url.path.endswith(path))

    def find(self, wanted: str) -> _Model:
        """The model of that name or label.

        Raises:
            openai.NotFoundError: names the closest matches.
        """
        found = _models.find(self.data, wanted)
        if isinstance(found, ListedModel):
            return found
        next_step = closest(found) or f"`{LISTS[self._path]}` has their names."
        listed = self._response
        missing = type(listed)(404, headers=listed.headers, request=listed.request)
        raise openai.NotFoundError(f"No model is named {wanted!r}. {next_step}", response=missing, body=None)


class _ChatPage(_Page[ChatModel], SyncPage[ChatModel]):
    model_class = ChatModel


class _ImagePage(_Page[ImageModel], SyncPage[ImageModel]):
    model_class = ImageModel


class _AsyncChatPage(_Page[ChatModel], AsyncPage[ChatModel]):
    model_class = ChatModel


class _AsyncImagePage(_Page[ImageModel], AsyncPage[ImageModel]):
    model_class = ImageModel


def _finder(wanted: str) -> Any:
    """What makes of a page the one model; a raw response may be parsed into something else."""
    if not wanted:
        raise ValueError(f"Expected a non-empty value for `model` but received {wanted!r}")
    return lambda page: page.find(wanted) if isinstance(page, _Page) else page


class _List(sdk.Models, Generic[_Model]):
    """A list of models."""

    _page: Any

    def __init__(self, client: Any, path: str = "/models/chat") -> None:
        super().__init__(client)
        self._path = path

    if TYPE_CHECKING:
        with_raw_response: _Raw[_Model]  # type: ignore[assignment]
        with_streaming_response: _Unread[_Model]  # type: ignore[assignment]

    def list(  # type: ignore[override]  # SyncPage is invariant, though each entry is a Model
        self,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> SyncPage[_Model]:
        """List the models, with what they take and give and what they cost. Costs no credits.

        Raises:
            openai.APIError: the service refused, could not be reached, or answered with something else.

        Examples:
            >>> from aitoearn_openai import OpenAI, sandbox
            >>> with sandbox.serve() as site, OpenAI.from_settings(site.settings) as client:
            ...     [model.id for model in client.models.list() if "audio" in model.input_modalities]
            ['gemini-3.1-pro-preview']
        """
        return self._client.get_api_list(
            self._path,
            page=self._page,
            model=self._page.model_class,
            options=_options(extra_headers, extra_query, extra_body, timeout),
        )

    def retrieve(
        self,
        model: str,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> _Model:
        """The model of that name, or else of that label, ignoring case and spaces. Costs no credits.

        Raises:
            openai.NotFoundError: there is none; the message names the closest matches.
            openai.APIError: as `list` does.
            ValueError: `model` is empty.

        Examples:
            >>> from aitoearn_openai import OpenAI, sandbox
            >>> with sandbox.serve() as site, OpenAI.from_settings(site.settings) as client:
            ...     client.models.retrieve("GLM 5.2").id
            'glm-5.2'
        """
        find = _finder(model)
        return self._client.get(
            self._path,
            cast_to=cast("type[_Model]", self._page),  # `find` turns the page into a model.
            options=_options(extra_headers, extra_query, extra_body, timeout, find),
        )


class _AsyncList(sdk.AsyncModels, Generic[_Model]):
    """A list of models."""

    _page: Any

    def __init__(self, client: Any, path: str = "/models/chat") -> None:
        super().__init__(client)
        self._path = path

    if TYPE_CHECKING:
        with_raw_response: _AsyncRaw[_Model]  # type: ignore[assignment]
        with_streaming_response: _AsyncUnread[_Model]  # type: ignore[assignment]

    def list(  # type: ignore[override]  # AsyncPage is invariant, though each entry is a Model
        self,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> AsyncPaginator[_Model, AsyncPage[_Model]]:
        """List the models, with what they take and give and what they cost. Costs no credits.

        Raises:
            openai.APIError: the service refused, could not be reached, or answered with something else.
        """
        return self._client.get_api_list(
            self._path,
            page=self._page,
            model=self._page.model_class,
            options=_options(extra_headers, extra_query, extra_body, timeout),
        )

    async def retrieve(
        self,
        model: str,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> _Model:
        """The model of that name, or else of that label, ignoring case and spaces. Costs no credits.

        Raises:
            openai.NotFoundError: there is none; the message names the closest matches.
            openai.APIError: as `list` does.
            ValueError: `model` is empty.
        """
        find = _finder(model)
        return await self._client.get(
            self._path,
            cast_to=cast("type[_Model]", self._page),  # `find` turns the page into a model.
            options=_options(extra_headers, extra_query, extra_body, timeout, find),
        )


class ImageModels(_List[ImageModel]):
    """The models that `images.generate` or `images.edit` takes, with their sizes and prices.

    Examples:
        >>> from aitoearn_openai import OpenAI, sandbox
        >>> with sandbox.serve() as site, OpenAI.from_settings(site.settings) as client:
        ...     {model.id: model.credits(size="1024x1024") for model in client.models.image_generation.list()}
        {'gpt-image-2': Decimal('1'), 'seedream-5': Decimal('0.8'), 'bare-painter': None}
    """

    _page = _ImagePage


class AsyncImageModels(_AsyncList[ImageModel]):
    """The models that `images.generate` or `images.edit` takes, with their sizes and prices."""

    _page = _AsyncImagePage


class Models(_List[ChatModel]):
    """The models that the service offers: for chat, and for `images.generate` and `images.edit`."""

    _page = _ChatPage

    @cached_property
    def image_generation(self) -> ImageModels:
        """The models that `images.generate` takes."""
        return ImageModels(self._client, "/models/image/generation")

    @cached_property
    def image_edit(self) -> ImageModels:
        """The models that `images.edit` takes."""
        return ImageModels(self._client, "/models/image/edit")


class AsyncModels(_AsyncList[ChatModel]):
    """The models that the service offers: for chat, and for `images.generate` and `images.edit`."""

    _page = _AsyncChatPage

    @cached_property
    def image_generation(self) -> AsyncImageModels:
        """The models that `images.generate` takes."""
        return AsyncImageModels(self._client, "/models/image/generation")

    @cached_property
    def image_edit(self) -> AsyncImageModels:
        """The models that `images.edit` takes."""
        return AsyncImageModels(self._client, "/models/image/edit")


if TYPE_CHECKING:
    # What the SDK makes of the methods above where a raw or an unread response is asked for.

    class _Raw(Generic[_Model]):
        def __init__(self, models: _List[_Model]) -> None:
            self.list = to_raw_response_wrapper(models.list)
            self.retrieve = to_raw_response_wrapper(models.retrieve)

    class _AsyncRaw(Generic[_Model]):
        def __init__(self, models: _AsyncList[_Model]) -> None:
            self.list = async_to_raw_response_wrapper(models.list)
            self.retrieve = async_to_raw_response_wrapper(models.retrieve)

    class _Unread(Generic[_Model]):
        def __init__(self, models: _List[_Model]) -> None:
            self.list = to_streamed_response_wrapper(models.list)
            self.retrieve = to_streamed_response_wrapper(models.retrieve)

    class _AsyncUnread(Generic[_Model]):
        def __init__(self, models: _AsyncList[_Model]) -> None:
            self.list = async_to_streamed_response_wrapper(models.list)
            self.retrieve = async_to_streamed_response_wrapper(models.retrieve)
