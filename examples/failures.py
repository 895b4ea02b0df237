"""Tell each failure apart, and say what to do about it: python failures.py [MODEL]"""

import sys

import openai

from aitoearn_openai import OpenAI

model = sys.argv[1] if len(sys.argv) > 1 else "glm-5.2"
try:
    client = OpenAI()
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "你好"}])
    print(answer.choices[0].message.content)
except openai.AuthenticationError as error:  # 401
    sys.exit(f"The key was refused. {error}")
except openai.NotFoundError as error:  # 404
    sys.exit(f"{error} client.models.list() has the names.")
except openai.RateLimitError as error:  # 429, after the SDK has tried again
    sys.exit(f"Too many requests. Seconds to wait: {error.response.headers.get('Retry-After', 'not told')}")
except openai.APIStatusError as error:  # any other status
    if error.status_code == 402:
        sys.exit("The credits are used up, or the membership has expired. Asking again does not help.")
    sys.exit(f"The service failed: {error.status_code}, code {error.code}, request id {error.request_id}")
except openai.APIConnectionError as error:  # no network, or no answer in time
    sys.exit(f"The service could not be reached: {error.__cause__ or error}")
except openai.OpenAIError as error:  # no key, a setting with a bad value, or a page that is no answer
    sys.exit(str(error))
