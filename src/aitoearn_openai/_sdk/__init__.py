"""The seam to the openai SDK: the only package that uses names which the SDK keeps private.

| private name | what it is for |
| --- | --- |
| `custom_auth`, `_custom_auth` | the SDK asks them for the httpx `Auth` of each try: `auth.py` looks at the response first |
| `_should_stream_response_body` | whether a response comes unread: `exchange.py` |
| `_process_response` | what the SDK does with an accepted response: `clients.py` |
| `_process_response_data` | turns decoded JSON into its type: `clients.py` has it checked, and makes it faster |
| `_make_sse_decoder` | the decoder of a stream: `stream.py` |
| `_make_status_error` | where each service words its errors: `clients.py` |
| `_custom_headers` | what the SDK took from `OPENAI_CUSTOM_HEADERS`: `private.py` |
| `LazyProxy` | stands for a resource of the module until it is used: `_module.py` |

Outside this folder, `__api_exclude__`, which the SDK asks of an object that stands in a request, is in `_models.py`:
losing it loses a hint. The options `post_parser` and `follow_redirects` of a request are in `_resource.py`.

Checked on openai 1.109.1, 2.54.0, 3.0.0 and 3.57.0. `private.py` looks at import whether they are all there, and whether the
SDK still calls them.
"""
