"""The seam to the openai SDK: the only package that uses names which the SDK keeps private.

| private name | what it is for |
| --- | --- |
| `custom_auth`, `_custom_auth` | the SDK asks them for the httpx `Auth` of each request: `response.py` |
| `_process_response` | what the SDK does with an accepted response: `clients.py` |
| `FinalRequestOptions.post_parser` | sees each parsed answer, also one that is parsed later: `answer.py` |
| `_process_response_data` | turns decoded JSON into its type: `answer.py` does it faster |
| `_make_sse_decoder`, `SSEDecoder` | the decoder of a stream, with `decode`, `iter_bytes` and `aiter_bytes`: `stream.py` |
| `_make_status_error` | where each service words its errors: `clients.py` |
| `_custom_headers` | what the SDK took from `OPENAI_CUSTOM_HEADERS`: `clients.py` |
| `RAW_RESPONSE_HEADER` | marks requests whose body the caller wants unread: `response.py` |
| `_should_stream_response_body` | whether a response comes unread, to check the mark: `answer.py` |
| `LazyProxy` | stands for a resource of the module until it is used: `_module.py` |

Outside this folder, `__api_exclude__`, which the SDK asks of an object that stands in a request, is in `_models.py`:
losing it loses a hint. `build`, with which the SDK makes a page, and the option `follow_redirects` are in `_resource.py`.

Checked on openai 1.109.1, 2.54.0, 3.0.0 and 3.57.0. `private.py` finds them all at import. A name that is still
there but no longer called is noticed in use: each step leaves a mark on the response, and the next step asks for it.
"""
