"""`client.models`: the SDK's resource, with the lists that the service keeps at paths of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar, cast

import openai
from openai.pagination import AsyncPage, SyncPage
from openai.resources import models as sdk
from pydantic import PrivateAttr, field_validator

from . import _models
from ._models import ChatModel, ImageModel, ListedModel
from ._sdk import (
    MODEL_LISTS,
    AsyncPaginator,
    async_to_raw_response_wrapper,
    async_to_streamed_response_wrapper,
    model_list_options,
    to_raw_response_wrapper,
    to_streamed_response_wrapper,
)

_Model = TypeVar("_Model", bound=ListedModel)


class _Page(openai.BaseModel, Generic[_Model]):
    """How all pages read the service's envelope."""

    list_path: ClassVar[str]

    data: list[_Model]
    object: str = "list"
    _response: Any = PrivateAttr()

    @field_validator("data", mode="before")
    @classmethod
    def _drop_nameless(cls, value: Any) -> Any:
        return _models.named(value)

    @classmethod
    def build(cls, *, response: Any, data: Any) -> _Page[_Model]:
        """Called by the SDK in place of its own construction, which checks and converts nothing."""
        page = cls.model_validate(data)
        page._response = response
        return page

    def find(self, wanted: str) -> _Model:
        """The model of that name or label.

        Raises:
            openai.NotFoundError: names the closest matches.
        """
        found = _models.find(self.data, wanted)
        if isinstance(found, ListedModel):
            return found
        closest = (
            f"The closest are {', '.join(found)}."
            if found
            else f"`{MODEL_LISTS[self.list_path]}` has their names."
        )
        self._response.status_code = 404
        raise openai.NotFoundError(
            f"None of the {len(self.data)} models is named {wanted!r}. {closest}",
            response=self._response,
            body=None,
        )


class _ChatPage(_Page[ChatModel]):
    list_path = "/models/chat"


class _GenerationPage(_Page[ImageModel]):
    list_path = "/models/image/generation"


class _EditPage(_Page[ImageModel]):
    list_path = "/models/image/edit"


class _SyncChatPage(_ChatPage, SyncPage[ChatModel]):
    pass


class _SyncGenerationPage(_GenerationPage, SyncPage[ImageModel]):
    pass


class _SyncEditPage(_EditPage, SyncPage[ImageModel]):
    pass


class _AsyncChatPage(_ChatPage, AsyncPage[ChatModel]):
    pass


class _AsyncGenerationPage(_GenerationPage, AsyncPage[ImageModel]):
    pass


class _AsyncEditPage(_EditPage, AsyncPage[ImageModel]):
    pass


def _find(model: str) -> Callable[[Any], Any]:
    """What turns a page into the one model."""
    if not model:
        raise ValueError(f"Expected a non-empty value for `model` but received {model!r}")
    return lambda page: page.find(model)


class Models(sdk.Models):
    """The models that the service offers: for chat, and for `images.generate` and `images.edit`."""

    @cached_property
    def with_raw_response(self) -> _RawModels:  # type: ignore[override]
        return _RawModels(self)

    @cached_property
    def with_streaming_response(self) -> _UnreadModels:  # type: ignore[override]
        return _UnreadModels(self)

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
            _ChatPage.list_path,
            page=_SyncChatPage,
            model=ChatModel,
            options=model_list_options(self._client, extra_headers, extra_query, extra_body, timeout),
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
        find = _find(model)
        return self._client.get(
            _ChatPage.list_path,
            cast_to=cast("type[ChatModel]", _SyncChatPage),  # `post_parser` turns the page into a model.
            options=model_list_options(
                self._client, extra_headers, extra_query, extra_body, timeout, post_parser=find
            ),
        )

    def list_image_generation(
        self,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> SyncPage[ImageModel]:
        """List the models for `images.generate`, with their sizes and prices. Costs no credits.

        Raises:
            openai.APIError: the service refused, could not be reached, or answered with something else.

        Example:
            >>> from aitoearn_openai import OpenAI, sandbox
            >>> with sandbox.serve() as site, OpenAI.from_settings(site.settings) as client:
            ...     {model.id: model.credits(size="1024x1024") for model in client.models.list_image_generation()}
            {'gpt-image-2': Decimal('1'), 'seedream-5': Decimal('0.8'), 'bare-painter': None}
        """
        return self._client.get_api_list(
            _GenerationPage.list_path,
            page=_SyncGenerationPage,
            model=ImageModel,
            options=model_list_options(self._client, extra_headers, extra_query, extra_body, timeout),
        )

    def retrieve_image_generation(
        self,
        model: str,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> ImageModel:
        """The model for `images.generate` of that name, or else of that label, ignoring case and spaces. Costs no credits.

        Raises:
            openai.NotFoundError: there is none; the message names the closest matches.
            openai.APIError: as `list_image_generation` does.
            ValueError: `model` is empty.
        """
        find = _find(model)
        return self._client.get(
            _GenerationPage.list_path,
            cast_to=cast("type[ImageModel]", _SyncGenerationPage),
            options=model_list_options(
                self._client, extra_headers, extra_query, extra_body, timeout, post_parser=find
            ),
        )

    def list_image_edit(
        self,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> SyncPage[ImageModel]:
        """List the models for `images.edit`, with their sizes and prices. Costs no credits.

        Raises:
            openai.APIError: the service refused, could not be reached, or answered with something else.
        """
        return self._client.get_api_list(
            _EditPage.list_path,
            page=_SyncEditPage,
            model=ImageModel,
            options=model_list_options(self._client, extra_headers, extra_query, extra_body, timeout),
        )

    def retrieve_image_edit(
        self,
        model: str,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> ImageModel:
        """The model for `images.edit` of that name, or else of that label, ignoring case and spaces. Costs no credits.

        Raises:
            openai.NotFoundError: there is none; the message names the closest matches.
            openai.APIError: as `list_image_edit` does.
            ValueError: `model` is empty.
        """
        find = _find(model)
        return self._client.get(
            _EditPage.list_path,
            cast_to=cast("type[ImageModel]", _SyncEditPage),
            options=model_list_options(
                self._client, extra_headers, extra_query, extra_body, timeout, post_parser=find
            ),
        )


class AsyncModels(sdk.AsyncModels):
    """The models that the service offers: for chat, and for `images.generate` and `images.edit`."""

    @cached_property
    def with_raw_response(self) -> _AsyncRawModels:  # type: ignore[override]
        return _AsyncRawModels(self)

    @cached_property
    def with_streaming_response(self) -> _AsyncUnreadModels:  # type: ignore[override]
        return _AsyncUnreadModels(self)

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
            _ChatPage.list_path,
            page=_AsyncChatPage,
            model=ChatModel,
            options=model_list_options(self._client, extra_headers, extra_query, extra_body, timeout),
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
        find = _find(model)
        return await self._client.get(
            _ChatPage.list_path,
            cast_to=cast("type[ChatModel]", _AsyncChatPage),  # `post_parser` turns the page into a model.
            options=model_list_options(
                self._client, extra_headers, extra_query, extra_body, timeout, post_parser=find
            ),
        )

    def list_image_generation(
        self,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> AsyncPaginator[ImageModel, AsyncPage[ImageModel]]:
        """List the models for `images.generate`, with their sizes and prices. Costs no credits.

        Raises:
            openai.APIError: the service refused, could not be reached, or answered with something else.
        """
        return self._client.get_api_list(
            _GenerationPage.list_path,
            page=_AsyncGenerationPage,
            model=ImageModel,
            options=model_list_options(self._client, extra_headers, extra_query, extra_body, timeout),
        )

    async def retrieve_image_generation(
        self,
        model: str,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> ImageModel:
        """The model for `images.generate` of that name, or else of that label, ignoring case and spaces. Costs no credits.

        Raises:
            openai.NotFoundError: there is none; the message names the closest matches.
            openai.APIError: as `list_image_generation` does.
            ValueError: `model` is empty.
        """
        find = _find(model)
        return await self._client.get(
            _GenerationPage.list_path,
            cast_to=cast("type[ImageModel]", _AsyncGenerationPage),
            options=model_list_options(
                self._client, extra_headers, extra_query, extra_body, timeout, post_parser=find
            ),
        )

    def list_image_edit(
        self,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> AsyncPaginator[ImageModel, AsyncPage[ImageModel]]:
        """List the models for `images.edit`, with their sizes and prices. Costs no credits.

        Raises:
            openai.APIError: the service refused, could not be reached, or answered with something else.
        """
        return self._client.get_api_list(
            _EditPage.list_path,
            page=_AsyncEditPage,
            model=ImageModel,
            options=model_list_options(self._client, extra_headers, extra_query, extra_body, timeout),
        )

    async def retrieve_image_edit(
        self,
        model: str,
        *,
        extra_headers: Mapping[str, str | openai.Omit] | None = None,
        extra_query: Mapping[str, object] | None = None,
        extra_body: Any = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
    ) -> ImageModel:
        """The model for `images.edit` of that name, or else of that label, ignoring case and spaces. Costs no credits.

        Raises:
            openai.NotFoundError: there is none; the message names the closest matches.
            openai.APIError: as `list_image_edit` does.
            ValueError: `model` is empty.
        """
        find = _find(model)
        return await self._client.get(
            _EditPage.list_path,
            cast_to=cast("type[ImageModel]", _AsyncEditPage),
            options=model_list_options(
                self._client, extra_headers, extra_query, extra_body, timeout, post_parser=find
            ),
        )


# What the SDK makes of the methods above where a raw or an unread response is asked for.


class _RawModels:
    def __init__(self, models: Models) -> None:
        self.list = to_raw_response_wrapper(models.list)
        self.retrieve = to_raw_response_wrapper(models.retrieve)
        self.list_image_generation = to_raw_response_wrapper(models.list_image_generation)
        self.retrieve_image_generation = to_raw_response_wrapper(models.retrieve_image_generation)
        self.list_image_edit = to_raw_response_wrapper(models.list_image_edit)
        self.retrieve_image_edit = to_raw_response_wrapper(models.retrieve_image_edit)
        self.delete = to_raw_response_wrapper(models.delete)


class _AsyncRawModels:
    def __init__(self, models: AsyncModels) -> None:
        self.list = async_to_raw_response_wrapper(models.list)
        self.retrieve = async_to_raw_response_wrapper(models.retrieve)
        self.list_image_generation = async_to_raw_response_wrapper(models.list_image_generation)
        self.retrieve_image_generation = async_to_raw_response_wrapper(models.retrieve_image_generation)
        self.list_image_edit = async_to_raw_response_wrapper(models.list_image_edit)
        self.retrieve_image_edit = async_to_raw_response_wrapper(models.retrieve_image_edit)
        self.delete = async_to_raw_response_wrapper(models.delete)


class _UnreadModels:
    def __init__(self, models: Models) -> None:
        self.list = to_streamed_response_wrapper(models.list)
        self.retrieve = to_streamed_response_wrapper(models.retrieve)
        self.list_image_generation = to_streamed_response_wrapper(models.list_image_generation)
        self.retrieve_image_generation = to_streamed_response_wrapper(models.retrieve_image_generation)
        self.list_image_edit = to_streamed_response_wrapper(models.list_image_edit)
        self.retrieve_image_edit = to_streamed_response_wrapper(models.retrieve_image_edit)
        self.delete = to_streamed_response_wrapper(models.delete)


class _AsyncUnreadModels:
    def __init__(self, models: AsyncModels) -> None:
        self.list = async_to_streamed_response_wrapper(models.list)
        self.retrieve = async_to_streamed_response_wrapper(models.retrieve)
        self.list_image_generation = async_to_streamed_response_wrapper(models.list_image_generation)
        self.retrieve_image_generation = async_to_streamed_response_wrapper(models.retrieve_image_generation)
        self.list_image_edit = async_to_streamed_response_wrapper(models.list_image_edit)
        self.retrieve_image_edit = async_to_streamed_response_wrapper(models.retrieve_image_edit)
        self.delete = async_to_streamed_response_wrapper(models.delete)
